"""Who sees what: matched pictures dealt into trials, sides counterbalanced, each order drawn from one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

OURS, UNIFORM, REFERENCE = "OURS", "UNIFORM", "REFERENCE"
DECOY = "DECOY"  # a spoiled REFERENCE, plainly the wrong answer
COMPARED = {"similar": (OURS, UNIFORM), "reference": (OURS, REFERENCE)}  # Figures 10 and 11
KINDS = ("practice", "main", "check", "repeat")


@dataclass(frozen=True)
class Picture:
    """A file in the study's folder and the denoising steps it took; None for a decoy."""

    file: str
    steps: int | None


@dataclass(frozen=True)
class Stimulus:
    """One prompt and seed: a picture a condition."""

    prompt: str
    seed: int
    pictures: Mapping[str, Picture]


class Trial(NamedTuple):
    """One comparison; ``swapped`` puts the first condition of the pair on the right."""

    kind: str
    stimulus: int
    swapped: bool


@dataclass(frozen=True)
class Design:
    """How a study is dealt.

    ``trials`` main trials a participant (None: as many as the pictures allow, with others left for checks and
    practice), ``repeats`` of them shown again with the sides exchanged (None: a tenth), ``checks`` of attention with
    one right answer, ``practice`` trials before all, and ``orders`` different sequences, dealt from ``seed``.
    """

    protocol: str = "similar"
    trials: int | None = None
    repeats: int | None = None
    checks: int = 4
    practice: int = 2
    orders: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Study:
    """A study as it is on disk: what may be shown, and in which orders."""

    id: str
    design: Design
    stimuli: tuple[Stimulus, ...]
    orders: tuple[tuple[Trial, ...], ...]


def check_protocol(name: str) -> str:
    """The name of a protocol, if it is one; ValueError otherwise."""
    if name not in COMPARED:
        raise ValueError(f"unknown protocol {name!r}: choose one of {', '.join(COMPARED)}")
    return name


def settle(design: Design, stimuli: int) -> Design:
    """The design with its open numbers filled in for so many stimuli; ValueError if it cannot be balanced."""
    check_protocol(design.protocol)
    trials = design.trials
    if trials is None:
        spare = stimuli - design.practice - design.checks
        trials = (spare if spare >= 2 else stimuli) // 2 * 2
    if trials < 2 or trials % 2:
        raise ValueError(f"{trials} trials cannot be counterbalanced: take an even number of at least 2")
    if trials > stimuli:
        raise ValueError(f"{trials} trials want as many prompts and seeds drawn in every condition; got {stimuli}")
    repeats = trials // 10 if design.repeats is None else design.repeats
    if not 0 <= repeats <= trials // 3:
        raise ValueError(f"{repeats} repeats of {trials} trials: at most a third can come back after a while")
    if not (0 <= design.checks <= stimuli and 0 <= design.practice <= stimuli):
        raise ValueError(f"{design.checks} checks and {design.practice} practice trials: each from 0 to {stimuli}, "
                         "for each wants a prompt and seed of its own")  # fmt: skip
    if design.orders < 2 or design.orders % 2:
        raise ValueError(f"{design.orders} orders cannot mirror each other: take an even number of at least 2")
    return replace(design, trials=trials, repeats=repeats)


def deal(design: Design, stimuli: int) -> tuple[tuple[Trial, ...], ...]:
    """The orders of a settled design.

    In every order each of the two conditions is on the left in half of the main trials. Over the orders every
    stimulus comes equally often (to within one), and changes sides from one of its showings to the next wherever the
    first rule lets it: where all stimuli are shown, every second order mirrors the one before.
    """
    rng = np.random.default_rng(design.seed)
    shown, lead = np.zeros(stimuli, int), np.zeros(stimuli, int)  # times shown; left showings minus right ones
    orders = []
    for _ in range(design.orders):
        chosen = np.lexsort((rng.random(stimuli), shown))[: design.trials]
        shown[chosen] += 1
        by_lead = chosen[np.lexsort((rng.random(design.trials), lead[chosen]))]
        left, right = np.split(by_lead, 2)
        lead[left] += 1
        lead[right] -= 1
        right = set(right.tolist())
        main = [Trial("main", i, i in right) for i in rng.permutation(chosen).tolist()]
        orders.append(_order(main, stimuli, design, rng))
    return tuple(orders)


def _order(main: list[Trial], stimuli: int, design: Design, rng: np.random.Generator) -> tuple[Trial, ...]:
    """Main trials with checks spread among them, repeats of the first third in the last one, and practice in front."""
    used = [trial.stimulus for trial in main]
    spare = np.setdiff1d(np.arange(stimuli), used)
    # A check may not show the pictures of a main trial, and does so only where there are no others.
    others = [*rng.permutation(spare).tolist(), *rng.permutation(used).tolist()]
    keyed: list[tuple[float, Trial]] = list(enumerate(main))
    for i in rng.permutation(len(main) // 3)[: design.repeats]:
        again = Trial("repeat", main[i].stimulus, not main[i].swapped)
        keyed.append((rng.uniform(len(main) * 2 / 3, len(main)), again))
    for slot, swapped in enumerate(_halves(design.checks, rng)):
        keyed.append(((slot + rng.random()) * len(main) / design.checks, Trial("check", others[slot], swapped)))
    after = others[design.checks :] + others[: design.checks]
    easy = [Trial("practice", after[n], swapped) for n, swapped in enumerate(_halves(design.practice, rng))]
    return (*easy, *(trial for _, trial in sorted(keyed, key=lambda pair: pair[0])))


def _halves(count: int, rng: np.random.Generator) -> list[bool]:
    """As many true as false, to within one, in random order."""
    return (rng.permutation(count) % 2 == 1).tolist()


def sides(protocol: str, trial: Trial) -> tuple[str, str]:
    """The conditions on the left (A) and on the right (B)."""
    pair = COMPARED[protocol] if trial.kind in ("main", "repeat") else (REFERENCE, DECOY)
    return (pair[1], pair[0]) if trial.swapped else pair


def shown(study: Study, order: int, position: int) -> dict[str, Any]:
    """What stands on the screen at a position of an order, in the columns of the answers."""
    trial = study.orders[order][position]
    stimulus = study.stimuli[trial.stimulus]
    left, right = sides(study.design.protocol, trial)
    middle = stimulus.pictures[REFERENCE].steps if study.design.protocol == "similar" else None
    return {
        "study": study.id, "protocol": study.design.protocol, "order": order, "position": position,
        "kind": trial.kind, "prompt": stimulus.prompt, "seed": stimulus.seed,
        "left_condition": left, "left_steps": stimulus.pictures[left].steps,
        "right_condition": right, "right_steps": stimulus.pictures[right].steps,
        "reference_steps": middle,
    }  # fmt: skip


def needed(protocol: str) -> Sequence[str]:
    """The conditions every prompt and seed must be drawn in."""
    return tuple(dict.fromkeys((*COMPARED[check_protocol(protocol)], REFERENCE)))
