"""Text to steps: how many denoising steps each prompt deserves, before anything is generated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image, fromarray

from bfkit import paper
from bfkit.dataset.curves import long_curves
from bfkit.models.clip import Clip, load_clip
from bfkit.models.pipelines import calling
from bfkit.profiles import PROFILES, Profile
from bfkit.sampling.conditioning import embed
from bfkit.sampling.generate import check_prompts
from bfkit.sampling.looked import Looked, drawn_on, look_at_all
from bfkit.sampling.pixels import to_bytes

from .choice import PROMISED, UNITS, Choice, choose
from .memory import Memory, measured_curves, remember
from .model import Predictors, load_predictors
from .picture_curves import PicturePredictor, load_pictures
from .promise import Promise, load_promise
from .readable import check_readable, refusal
from .rules import at_mean_cost

PICTURES = "look.safetensors"  # beside the prompts' predictor, where the score table keeps looks


@dataclass(frozen=True)
class StepAdvisor:
    """Predicts the three curves of a prompt and reads off them the steps at which all have gone flat.

    ``weights`` are those of Eq. 7; ``examples`` are prompts it was trained on; ``costs`` what a step of a picture took
    of the other ``UNITS`` in the table that it was trained on, which was the ``profile``'s; ``picture_predictor``
    reads pictures that were looked at, if that table keeps looks; ``promise`` is what ``bfkit calibrate`` found;
    ``memory`` what ``remember`` has seen.
    """

    clip: Clip
    predictors: Predictors
    weights: dict[str, float]
    examples: tuple[str, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    profile: str = ""
    picture_predictor: PicturePredictor | None = None
    promise: Promise | None = None
    memory: Memory | None = None

    @classmethod
    def from_pretrained(cls, source: str | Path, device: torch.device | str | None = None) -> "StepAdvisor":
        """Load a profile's advisor (bundled: ``"mini"``) or a folder that ``bfkit train`` wrote, onto a device.

        Raises FileNotFoundError, naming what is missing, where the source is neither, ValueError for a device that is
        not there.
        """
        profile = PROFILES.get(source) if isinstance(source, str) else None
        if profile and not profile.advisor:
            raise FileNotFoundError(
                f"{source} has no advisor of its own: train one with `bfkit train --profile {source} --scores FOLDER "
                "--out ADVISOR`, and name that folder"
            )
        folder = Path(profile.advisor if profile else source)
        if not profile and not folder.is_dir():
            raise FileNotFoundError(f"no advisor {str(source)!r}: name a folder or one of {', '.join(PROFILES)}")
        predictors, notes = load_predictors(folder)
        if missing := [name for name in ("clip", "examples") if name not in notes]:
            raise ValueError(f"{folder / 'config.json'} lacks {' and '.join(missing)}: train the predictor again")
        beside = folder / notes["clip"]  # a folder beside it, or a name that open_clip knows
        clip = load_clip(beside.resolve() if beside.is_dir() else notes["clip"], device)
        pictures = load_pictures(folder / PICTURES) if (folder / PICTURES).is_file() else None
        known = tuple(notes["examples"]), notes.get("costs", {}), notes.get("profile", "")
        return cls(clip, predictors.to(clip.device), dict(paper.WEIGHTS), *known, pictures, load_promise(folder))

    def refusal(self, prompt: str) -> str | None:
        """Why the curves of a prompt cannot be predicted, in a sentence; None where they can."""
        return refusal(prompt, self.clip, self.examples)

    def _check(self, prompts: Sequence[str] | str) -> list[str]:
        return check_readable(prompts, self.clip, self.examples)

    def dense(self, prompts: Sequence[str] | str) -> dict[str, np.ndarray]:
        """Predicted curves at every step from 1 to T: a metric's values (len(prompts), T)."""
        return self._predict(self._check(prompts))

    def _predict(self, prompts: list[str]) -> dict[str, np.ndarray]:
        texts = self.clip.embed_texts(prompts)
        curves = self.predictors(texts)
        return curves if self.memory is None else self.memory(texts.cpu().numpy(), curves)

    def remember(self, scores: pl.DataFrame) -> "StepAdvisor":
        """This advisor with the measured curves of a score table in mind (``memory``): of the very prompts, and others.

        What it remembered before is forgotten. Raises ValueError for a table of other last steps, or too many prompts.
        """
        prompts, measured, luck = measured_curves(scores)
        texts = self.clip.embed_texts(prompts)
        predicted = self.predictors(texts)
        last, own = (next(iter(curves.values())).shape[1] for curves in (measured, predicted))
        if last != own:
            raise ValueError(f"the scores end at {last} steps, this advisor's curves at {own}: give a table like them")
        return replace(self, memory=remember(texts.cpu().numpy(), predicted, measured, luck), promise=None)

    def curves(self, prompts: Sequence[str] | str) -> pl.DataFrame:
        """Predicted curves, one row a prompt, metric and step: ``prompt, metric, steps, value``.

        Raises ValueError for no prompts, an empty one, or one without any known word.
        """
        prompts = self._check(prompts)
        return long_curves(prompts, self._predict(prompts))

    def steps(
        self,
        prompts: Sequence[str] | str,
        rule: str = "plateau",
        *,
        tolerance: float | None = None,
        mean_steps: float | None = None,
    ) -> pl.DataFrame:
        """The steps of each prompt, one row each, in order: ``prompt, l_snr, d_sim, i_clip, steps``.

        By default each metric's plateau and t*, the last of them (Eq. 7). The ``threshold`` gives the fewest steps that
        are predicted to lose at most ``tolerance`` of the mean quality; any rule, set by ``mean_steps``, spends that
        many on average over prompts like those it was trained on. The rule ``promised`` keeps the ``promise``. A
        metric's column is what its curve alone would ask for. Raises ValueError for what ``choose`` refuses.
        """
        prompts = self._check(prompts)
        if rule == PROMISED:
            chosen = self._promised(tolerance, mean_steps)
        else:
            chosen = choose(rule, tolerance, mean_steps, self.weights, lambda: self._predict(list(self.examples)))
        return chosen.table(prompts, self._predict(prompts))

    def _promised(self, tolerance: float | None, mean_steps: float | None) -> Choice:
        if self.promise is None:
            raise ValueError("this advisor has promised nothing: `bfkit calibrate --advisor FOLDER --keep RULE` does")
        if tolerance is not None or mean_steps is not None:
            raise ValueError("a promise has its own knob: leave out the tolerance and the mean steps")
        return self.promise.choice(self.weights)

    def allocate(self, prompts: Sequence[str] | str, total: float, unit: str = "steps") -> pl.DataFrame:
        """A budget shared out over these prompts so that the least is predicted to be lost: ``prompt, steps``.

        ``total`` counts steps, which are spent exactly, or as many whole steps as a total of TFLOPs, seconds or joules
        pays for, by the costs of a step in the advisor's score table. One price for all does it
        (``rules.at_mean_cost``). Raises ValueError for an unknown unit, one that nobody measured, or a total that is
        too small or more than all prompts' last steps.
        """
        prompts = self._check(prompts)
        if unit not in UNITS:
            raise ValueError(f"unknown unit {unit!r}: choose from {', '.join(UNITS)}")
        if unit != "steps" and not self.costs.get(unit):
            raise ValueError(f"this advisor's score table has measured no {unit}: give the total in steps")
        steps = total if unit == "steps" else total / self.costs[unit]
        curves = self._predict(prompts)
        most = len(prompts) * next(iter(curves.values())).shape[1]
        if not len(prompts) <= steps < most + 1:
            raise ValueError(
                f"a total of {total:g} {unit} is {steps:,.1f} steps, and {len(prompts)} prompts take {len(prompts)} to "
                f"{most:,}"
            )
        shared = at_mean_cost("price", curves, int(steps) / len(prompts))
        return pl.DataFrame({"prompt": prompts, "steps": shared}, schema_overrides={"steps": pl.UInt16})

    def generate(
        self,
        pipe: DiffusionPipeline,
        prompts: Sequence[str] | str,
        *,
        seeds: Sequence[int] | None = None,
        batch: int = 16,
        rule: str = "plateau",
        tolerance: float | None = None,
        mean_steps: float | None = None,
        look: bool | Profile = False,
        **options: object,
    ) -> list[Image]:
        """Pictures of the prompts, each in its own steps, in the order asked.

        Prompts of equal steps are drawn together, ``batch`` at a time. ``seeds`` gives each prompt's noise (default 0,
        1, 2, ...); ``rule``, ``tolerance`` and ``mean_steps`` are those of ``steps``; ``options`` go to the pipeline as
        they are (``guidance_scale``, ``height``, ...).

        With ``look`` a picture's steps are chosen after its first evaluation, by what that shows beside the prompt; the
        evaluation is not made again. Guidance and size are then those of the profile that the advisor was trained for,
        or of the one that is given for ``look``. Raises ValueError for an advisor that cannot read looks.
        """
        chosen = None if look else self.steps(prompts, rule, tolerance=tolerance, mean_steps=mean_steps)
        prompts = check_prompts(prompts)
        seeds = list(range(len(prompts))) if seeds is None else list(seeds)
        if len(seeds) != len(prompts):
            raise ValueError(f"{len(seeds)} seeds for {len(prompts)} prompts: give one seed for each prompt")
        pictures: dict[int, Image] = {}
        if chosen is None:
            if options:
                raise ValueError(f"with a look, pictures are drawn as the profile says: leave out {', '.join(options)}")
            profile = look if isinstance(look, Profile) else self._profile()
            how = {"rule": rule, "tolerance": tolerance, "mean_steps": mean_steps}
            looked, steps = self.look(pipe, profile, prompts, seeds, batch, **how)
            for part in drawn_on(pipe, profile, looked, steps, batch):
                pictures |= zip(part.rows, map(fromarray, to_bytes(part.images)), strict=True)
            return [pictures[row] for row in range(len(prompts))]
        groups = chosen.with_row_index("row").group_by("steps").agg("row").sort("steps")
        for steps, rows in groups.iter_rows():
            for start in range(0, len(rows), batch):
                part = rows[start : start + batch]
                drawn = calling(pipe)(
                    [chosen["prompt"][row] for row in part],
                    num_inference_steps=steps,
                    generator=[torch.Generator().manual_seed(seeds[row]) for row in part],
                    **options,
                ).images
                for row, picture in zip(part, drawn, strict=True):
                    pictures[row] = picture
        return [pictures[row] for row in range(len(chosen))]

    def look(
        self,
        pipe: DiffusionPipeline,
        profile: Profile,
        prompts: Sequence[str],
        seeds: Sequence[int],
        batch: int | None = None,
        rule: str = "plateau",
        tolerance: float | None = None,
        mean_steps: float | None = None,
    ) -> tuple[Looked, list[int]]:
        """The pictures' first evaluations, to go on from (``sampling.looked``), and the steps of each by its own."""
        self._check(list(dict.fromkeys(prompts)))
        if (read := self.picture_predictor) is None:
            raise ValueError(
                "this advisor cannot read looks: its score table keeps none; make one with `bfkit dataset` and train "
                "again"
            )
        chosen = choose(rule, tolerance, mean_steps, self.weights, read.typical_curves)
        looked = look_at_all(pipe, profile, embed(pipe, profile, prompts, seeds), batch)
        texts = self.clip.embed_texts(prompts).cpu().numpy()
        return looked, chosen.steps(read(texts, looked.features.half().float().numpy())).tolist()

    def _profile(self) -> Profile:
        if self.profile not in PROFILES:
            raise ValueError(f"the advisor was trained for {self.profile or 'no profile'}: give that profile for look")
        return PROFILES[self.profile]
