"""Files from the web: fetched once, resumed where they broke off, verified by their checksum."""

import hashlib
import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm.auto import tqdm

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
