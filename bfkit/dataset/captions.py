"""Where captions come from: the miniature's world, COCO's official annotations, or a file. The first room."""

import json
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bfkit.mini import world

from .download import COCO, cache_folder, fetch

CAPTION_SEED = 7
CANDIDATES = 6_000  # captions that the miniature's prompts are chosen from
SPLITS = ("train2017", "val2017")


def read_captions(source: str | Path) -> list[str]:
    """Captions in the order of their source, each once, runs of whitespace as one blank, empty ones left out.

    ``source`` is ``world`` (the miniature's), ``train2017`` or ``val2017`` (COCO's official annotations, fetched once),
    the path of a captions file in COCO's format, or of a ``.txt`` with one caption a line. Raises FileNotFoundError if
    there is none or it cannot be fetched, ValueError if it is another file or damaged.
    """
    if source == "world":
        return list(mini_captions())
    if source in SPLITS:
        with zipfile.ZipFile(fetch(COCO, cache_folder())) as archive:
            return _distinct(_in_coco_format(archive.read(f"annotations/captions_{source}.json"), source), source)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"no captions at {source}: give world, {', '.join(SPLITS)}, a captions file in COCO's format, "
            "or a .txt with one caption a line"
        )
    content = path.read_bytes()
    captions = _text(content, path).splitlines() if path.suffix == ".txt" else _in_coco_format(content, path)
    return _distinct(captions, path)


@cache
def mini_captions(count: int = CANDIDATES) -> dict[str, world.Scene]:
    """The miniature's captions in the order they are offered to Eq. 1, each with a scene it is true of."""
    return world.captioned_scenes(count, CAPTION_SEED)


def busyness(texts: Sequence[str]) -> tuple[str, list[float]]:
    """How busy captions are, and by what: their scenes' complexity, or their words if one is not of the world."""
    scenes = mini_captions()
    if all(text in scenes for text in texts):
        return "complexity of the scene", [scenes[text].complexity for text in texts]
    return "words of the caption", [len(text.split()) for text in texts]


# --- a captions file ------------------------------------------------------------------------------------------------


def _text(content: bytes, name: str | Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None


def _in_coco_format(content: bytes, name: str | Path) -> list[str]:
    """The captions of COCO's JSON in the order of its annotations."""
    try:
        notes = json.loads(_text(content, name))
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is cut short or is no JSON ({error}): fetch it again") from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply for a captions file: give one in COCO's format") from None
    annotations = notes.get("annotations") if isinstance(notes, dict) else None
    if not isinstance(annotations, list):
        raise ValueError(f"{name} has no list of annotations: give a captions file in COCO's format")
    captions: list[str] = []
    for number, note in enumerate(annotations):
        caption = note.get("caption") if isinstance(note, dict) else None
        if not isinstance(caption, str):
            raise ValueError(
                f"{name}: annotation {number} has no caption; of COCO's files, captions_*.json are the ones with words"
            )
        captions.append(caption)
    return captions


def _distinct(captions: list[str], name: str | Path) -> list[str]:
    distinct = dict.fromkeys(" ".join(caption.split()) for caption in captions)
    distinct.pop("", None)
    if not distinct:
        raise ValueError(f"{name} holds no captions: give a file with some")
    return list(distinct)
