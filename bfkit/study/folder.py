"""The static folder of a study: written once, served by anything, opened by a double click, read back for analysis."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from bfkit.files import write_file

from .design import DECOY, KINDS, REFERENCE, Design, Picture, Stimulus, Study, Trial, deal, settle
from .pictures import decoy, matched

DATA = "study.js"  # a script and not JSON: a page opened by a double click may load no other kind of data
PICTURE = re.compile(r"pictures/[0-9a-f]{16}\.png")
BEFORE, AFTER = "const STUDY = ", ";\n"
ASSETS = (
    "index.html", "style.css", "session.js", "outbox.js", "choice.js", "main.js", "vendor/jspsych.js",
    "vendor/plugin-preload.js", "vendor/plugin-html-button-response.js", "vendor/LICENSE-jspsych.txt",
    "vendor/VERSIONS.txt",
)  # fmt: skip

CONSENT = (
    "You will compare pictures made by a computer program. There is nothing to know beforehand.",
    "Taking part is voluntary, and you may stop at any time by closing the page.",
    "Your choices, the time each one took, the size of the pictures on your screen and the participant number are "
    "stored; your name, your e-mail and your address on the network are not.",
)
INSTRUCTIONS = {
    "similar": (
        "Every time you will see three pictures: the reference in the middle, A on its left and B on its right "
        "(on a narrow screen the reference stands above them).",
        "Choose the one that is more similar to the reference. If you cannot tell, go with your first impression.",
    ),
    "reference": (
        "Every time you will see two pictures, A on the left and B on the right. One of them is the reference, which "
        "is of higher quality.",
        "Choose the one you think is the reference. If you cannot tell, go with your first impression.",
    ),
}
KEYS = "Press the button under a picture, or the keys A and B, or the left and right arrow keys."


@dataclass(frozen=True)
class Page:
    """What participants read, and where they and their answers go.

    Texts are paragraphs of plain text; ``instructions`` default to the protocol's. Answers go to the URL ``post``
    (None: they stay on the device, to be saved as a file, unless ``serve`` hands out the page). At the end the page
    shows ``code``, and offers the way to ``redirect``, a URL; ``fullscreen`` is asked for at the start.
    """

    title: str = "Comparing pictures"
    consent: tuple[str, ...] = CONSENT
    instructions: tuple[str, ...] | None = None
    post: str | None = None
    code: str | None = None
    redirect: str | None = None
    fullscreen: bool = True


def build(
    pictures: pl.DataFrame | Iterable,
    out: str | Path,
    protocol: str = "similar",
    *,
    trials: int | None = None,
    repeats: int | None = None,
    checks: int = 4,
    practice: int = 2,
    orders: int = 200,
    seed: int = 0,
    page: Page = Page(),
) -> Study:
    """Write a 2AFC study of generated pictures into the folder ``out`` (Section 4.4; Figures 10 and 11).

    ``pictures`` are those of ``pictures.matched``, OURS, UNIFORM and REFERENCE of every prompt and seed; ``protocol``
    is ``similar`` (which of OURS and UNIFORM is more similar to REFERENCE?) or ``reference`` (which of OURS and
    REFERENCE is the reference?); the numbers are those of ``Design``. With more pictures than trials, attention checks
    and practice use prompts of their own. The same call writes the same folder. Raises ValueError or
    FileNotFoundError, and then writes nothing, for pictures that do not match, a design that cannot be balanced, or a
    folder that holds something else.
    """
    for name, url in (("post", page.post), ("redirect", page.redirect)):
        if url is not None and urlsplit(url).scheme not in (
            ("http", "https", "") if name == "post" else ("http", "https")
        ):
            raise ValueError(f"{name}={url!r} is no web address: it begins with https://")
    found = matched(pictures, protocol)
    design = settle(Design(protocol, trials, repeats, checks, practice, orders, seed), len(found))
    images: dict[str, bytes] = {}

    def stored(png: bytes, steps: int | None) -> Picture:
        name = f"pictures/{hashlib.sha256(png).hexdigest()[:16]}.png"  # tells a curious participant nothing
        images[name] = png
        return Picture(name, steps)

    stimuli = []
    for number, ((prompt, picture_seed), conditions) in enumerate(found.items()):
        by_condition = {name: stored(png, steps) for name, (steps, png) in conditions.items()}
        by_condition[DECOY] = stored(decoy(conditions[REFERENCE][1], number), None)
        stimuli.append(Stimulus(prompt, picture_seed, by_condition))
    study = _identified(design, tuple(stimuli), deal(design, len(stimuli)))
    _refuse_other(Path(out), study)
    for name, png in images.items():
        write_file(Path(out) / name, png)
    for name in ASSETS:
        write_file(Path(out) / name, (files("bfkit.study") / "page" / name).read_bytes())
    write_file(Path(out) / DATA, script(study, page).encode())
    return study


def _identified(design: Design, stimuli: tuple[Stimulus, ...], orders: tuple[tuple[Trial, ...], ...]) -> Study:
    content = json.dumps(_content(Study("", design, stimuli, orders)), sort_keys=True)
    return Study(hashlib.sha256(content.encode()).hexdigest()[:16], design, stimuli, orders)


def _refuse_other(out: Path, study: Study) -> None:
    """A folder may be empty, or hold this very study; answers to another would lose their pictures."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"{out} is a file: give a folder for the study")
    if (out / DATA).exists():
        if read_study(out).id != study.id:
            raise ValueError(f"{out} holds another study: choose another folder, its answers belong to its pictures")
    elif any(path.name != "pictures" for path in out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no study: choose another folder")


def _content(study: Study) -> dict:
    return {
        "design": asdict(study.design),
        "kinds": KINDS,
        "stimuli": [asdict(stimulus) for stimulus in study.stimuli],
        "orders": [[[KINDS.index(kind), stimulus, int(swapped)] for kind, stimulus, swapped in order]
                   for order in study.orders],
    }  # fmt: skip


def script(study: Study, page: Page) -> str:
    """The study and its texts as the page reads them."""
    texts = asdict(page)
    texts["instructions"] = (*(page.instructions or INSTRUCTIONS[study.design.protocol]), KEYS)
    content = {"study": study.id, **_content(study), "page": texts}
    return BEFORE + json.dumps(content, separators=(",", ":")) + AFTER


def read_study(folder: str | Path) -> Study:
    """The study in a folder ``build`` wrote; FileNotFoundError or ValueError if it is not there or damaged."""
    path = Path(folder) / DATA
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no study: there is no {DATA}; bfkit study build writes one")
    try:
        content = json.loads(path.read_text(encoding="utf-8").removeprefix(BEFORE).removesuffix(AFTER))
        stimuli = tuple(
            Stimulus(s["prompt"], s["seed"], {name: Picture(**picture) for name, picture in s["pictures"].items()})
            for s in content["stimuli"]
        )
        orders = tuple(tuple(Trial(KINDS[k], i, bool(s)) for k, i, s in order) for order in content["orders"])
        if not all(PICTURE.fullmatch(picture.file) for s in stimuli for picture in s.pictures.values()):
            raise ValueError
        study = _identified(Design(**content["design"]), stimuli, orders)
    except (ValueError, KeyError, TypeError, IndexError):
        raise ValueError(f"{path} is damaged: build the study again") from None
    if study.id != content["study"]:
        raise ValueError(f"{path} was changed by hand: its trials are not those of study {content['study']}")
    return study
