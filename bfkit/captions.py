"""Where captions come from: the miniature's world, COCO's official annotations, or a file. The first room."""

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm.auto import tqdm

from .mini import world

CAPTION_SEED = 7
CANDIDATES = 6_000  # captions that the miniature's prompts are chosen from
SPLITS = ("train2017", "val2017")
TIMEOUT = 30.0  # seconds that a server may keep silent
CHUNK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A file on the web, known by its size in bytes and its SHA-256."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


# Size and checksum are those that TensorFlow Datasets lists; with the checksum, plain http is safe.
COCO = Archive(
    "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    252_907_541,
    "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
)


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
    captions = [note.get("caption") if isinstance(note, dict) else None for note in annotations]
    for number, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise ValueError(
                f"{name}: annotation {number} has no caption; of COCO's files, captions_*.json are the ones with words"
            )
    return captions


def _distinct(captions: list[str], name: str | Path) -> list[str]:
    distinct = dict.fromkeys(" ".join(caption.split()) for caption in captions)
    distinct.pop("", None)
    if not distinct:
        raise ValueError(f"{name} holds no captions: give a file with some")
    return list(distinct)


# --- a file from the web --------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where fetched files are kept: ``$XDG_CACHE_HOME/bfkit``, which is ``~/.cache/bfkit`` where that is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bfkit"


def fetch(archive: Archive, folder: Path) -> Path:
    """The path of an archive in ``folder``, fetched if it is not there; what was broken off is resumed.

    Its checksum is verified every time, for it may have been put there by hand. Shows a progress bar. Raises
    FileNotFoundError if the file cannot be had, ValueError if it has another checksum.
    """
    path = folder / archive.name
    if path.is_file():
        if (found := _sha256(path)) != archive.sha256:
            raise ValueError(
                f"{path} is not the file of {archive.url} (SHA-256 {found[:8]}… for {archive.sha256[:8]}…): "
                "delete it and run again"
            )
        return path
    part = path.with_name(f"{path.name}.part")
    try:
        _download(archive, part)
        if (found := _sha256(part)) != archive.sha256:
            part.unlink()
            raise ValueError(
                f"{archive.url} sent another file (SHA-256 {found[:8]}… for {archive.sha256[:8]}…), which is deleted: "
                f"run again, or put the right one at {path} by hand"
            )
        os.replace(part, path)
    except (OSError, HTTPException) as error:
        if not path.is_file():  # another run may have been faster
            raise FileNotFoundError(
                f"no {path}, and {archive.url} cannot be fetched ({getattr(error, 'reason', None) or error}): "
                "run again with a network, which goes on from where it broke off, or put the file there by hand"
            ) from None
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(archive: Archive, part: Path) -> None:
    """Fill ``part`` up to the archive's size, and take up a broken connection as long as each try brings something."""
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    while (before := part.stat().st_size) < archive.size:
        broken = ConnectionError("the connection broke off")
        try:
            _download_rest(archive, part, before)
        except HTTPError as error:
            error.close()
            raise
        except (OSError, HTTPException) as error:
            broken = error
        if part.stat().st_size <= before:
            raise broken


def _download_rest(archive: Archive, part: Path, start: int) -> None:
    request = Request(archive.url, headers={"Range": f"bytes={start}-"} if start else {})
    with urlopen(request, timeout=TIMEOUT) as response:
        start = start if response.status == 206 else 0  # not every server can begin in the middle
        if response.length is not None and start + response.length != archive.size:
            raise ConnectionError(f"it offers {start + response.length:,} bytes instead of {archive.size:,}")
        bar = tqdm(desc=archive.name, total=archive.size, initial=start, unit="B", unit_scale=True, unit_divisor=1024)
        with bar, part.open("r+b") as file:  # two runs at once write the same bytes to the same place
            file.seek(start)
            while chunk := response.read(min(CHUNK, archive.size - file.tell())):
                file.write(chunk)
                bar.update(len(chunk))
