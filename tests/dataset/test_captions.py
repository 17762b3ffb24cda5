"""Captions from the world, from files and from a web server that is slow, lies, breaks off or is not there."""

import hashlib
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bfkit.dataset import captions, download
from bfkit.dataset.captions import mini_captions, read_captions
from bfkit.dataset.download import Archive, fetch

COCO_FILE = Path(__file__).parents[3] / "shared" / "coco" / "captions_val2017.json"
TRAIN = ["A man  rides a\nhorse. ", "A dog", " a dog", "A dog ", "", " \t", "Ünï çödé"]
TRAIN_READ = ["A man rides a horse.", "A dog", "a dog", "Ünï çödé"]
VAL = ["Two cats"]


def coco_json(texts: list[str]) -> bytes:
    """A captions file as COCO writes them, in the order of its annotations."""
    notes = [{"image_id": 9 - n, "id": 100 - n, "caption": text} for n, text in enumerate(texts)]
    return json.dumps({"info": {"year": 2017}, "images": [], "licenses": [], "annotations": notes}).encode()


# --- sources that need no network -----------------------------------------------------------------------------------


def test_the_worlds_captions_are_the_miniatures():
    found = read_captions("world")
    assert len(found) == len(set(found)) == captions.CANDIDATES
    assert found[:50] == list(mini_captions(50))


def test_the_miniatures_captions_begin_with_the_two_ends_of_figure_2():
    some = list(mini_captions(50))
    assert some[:2] == ["a white and empty wall", "a colorful park with a crowd"]
    assert len(set(some)) == 50
    assert list(mini_captions(20)) == some[:20]


@pytest.mark.parametrize("kind", [str, Path])
def test_a_captions_file_is_read_in_order_each_caption_once_without_stray_blanks(tmp_path, kind):
    (tmp_path / "mine.json").write_bytes(coco_json(TRAIN))
    assert read_captions(kind(tmp_path / "mine.json")) == TRAIN_READ


def test_a_text_file_has_one_caption_a_line(tmp_path):
    (tmp_path / "mine.txt").write_bytes("\ufeffA  dog\r\n\r\nTwo cats\nA dog\n".encode())
    assert read_captions(tmp_path / "mine.txt") == ["A dog", "Two cats"]


def test_the_real_captions_are_read_whole():
    if not COCO_FILE.is_file():
        pytest.skip("the COCO captions are not part of this repository")
    found = read_captions(COCO_FILE)
    notes = json.loads(COCO_FILE.read_text(encoding="utf-8"))["annotations"]
    assert len(notes) == 25_014
    plain: list[str] = []
    seen = set()
    for note in notes:
        caption = re.sub(r"\s+", " ", note["caption"]).strip()
        if caption not in seen:
            plain.append(caption)
        seen.add(caption)
    assert found == plain
    assert 24_000 < len(found) < 25_014


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"images": []}', "has no list of annotations"),
        (b'["A dog"]', "has no list of annotations"),
        (b'{"annotations": {"caption": "A dog"}}', "has no list of annotations"),
        (
            b'{"annotations": [{"caption": "A dog"}, {"bbox": [1, 2, 3, 4]}]}',
            r"annotation 1 has no caption; .*captions_",
        ),
        (b'{"annotations": [{"caption": null}]}', "annotation 0 has no caption"),
        (b'{"annotations": ["A dog"]}', "annotation 0 has no caption"),
        (b'{"annotations": []}', "holds no captions"),
        (coco_json(["", " "]), "holds no captions"),
        (coco_json(TRAIN)[:-40], "is cut short or is no JSON"),
        (b"", "is cut short or is no JSON"),
        (b"[" * 200_000, "is (nested too deeply|cut short)"),
        (coco_json([]).replace(b"2017", b'"Caf\xe9"'), r"is not UTF-8 text \(byte \d+\)"),
    ],
)
def test_another_file_is_refused_with_one_sentence_that_names_it(tmp_path, content, complaint):
    path = tmp_path / "instances_val2017.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as error:
        read_captions(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_text_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_bytes(b"A dog\nA caf\xe9\n")
    with pytest.raises(ValueError, match=r"mine.txt is not UTF-8 text \(byte 11\)"):
        read_captions(tmp_path / "mine.txt")


@pytest.mark.parametrize("source", ["train2014", "folder"])
def test_an_unknown_source_is_answered_with_what_can_be_given(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"no captions at {source}: give world, train2017, val2017"):
        read_captions(source)


# --- a web server with faults ---------------------------------------------------------------------------------------


class Server:
    """Serves one file on this machine; ``send`` may be replaced to do it badly. Notes the ranges asked for."""

    def __init__(self, content: bytes):
        self.content, self.ranges, self.send = content, [], self.send_well
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range")
                server.ranges.append(asked)
                server.send(self, int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def archive(self) -> Archive:
        url = f"http://127.0.0.1:{self.http.server_port}/annotations/annotations_trainval2017.zip"
        return Archive(url, len(self.content), hashlib.sha256(self.content).hexdigest())

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def send_well(self, handler: BaseHTTPRequestHandler, start: int, upto: int | None = None) -> None:
        """The rest from ``start`` on; with ``upto``, the connection ends before the byte of that number."""
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        handler.wfile.write(self.content[start:upto])

    def send_from_the_beginning(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        self.send_well(handler, 0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Has an archive laid out like COCO's, somewhat over 3 MB, three quarters of it boxes that nobody reads."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("annotations/instances_train2017.json", np.random.default_rng(0).bytes(3_000_000))
        archive.writestr("annotations/captions_train2017.json", coco_json(TRAIN))
        archive.writestr("annotations/captions_val2017.json", coco_json(VAL))
    server = Server(file.getvalue())
    yield server
    server.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_cocos_captions_are_fetched_once_and_read_out_of_the_archive(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(captions, "COCO", server.archive)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert read_captions("train2017") == TRAIN_READ
    assert re.search(r"annotations_trainval2017\.zip: +100%.*MB?/", capsys.readouterr().err)
    assert read_captions("val2017") == VAL
    assert server.ranges == [None]
    assert names(tmp_path) == ["annotations_trainval2017.zip"]
    assert (tmp_path / "bfkit" / "annotations_trainval2017.zip").read_bytes() == server.content


def test_the_cache_is_in_the_home_folder_unless_said_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert download.cache_folder() == tmp_path / ".cache" / "bfkit"


def test_the_archive_named_is_cocos():
    assert download.COCO.name == "annotations_trainval2017.zip"
    assert re.fullmatch("[0-9a-f]{64}", download.COCO.sha256)


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    breaks = iter([1_000_000, 2_500_000, None])
    server.send = lambda handler, start: server.send_well(handler, start, next(breaks))
    assert fetch(server.archive, tmp_path).read_bytes() == server.content
    assert server.ranges == [None, "bytes=1000000-", "bytes=2500000-"]
    assert names(tmp_path) == ["annotations_trainval2017.zip"]


def test_a_server_that_cannot_begin_in_the_middle_is_asked_for_the_whole(server, tmp_path):
    (tmp_path / "annotations_trainval2017.zip.part").write_bytes(server.content[:1_234_567])
    server.send = server.send_from_the_beginning
    assert fetch(server.archive, tmp_path).read_bytes() == server.content


def test_a_truncated_download_is_never_taken_for_the_file_and_goes_on_next_time(server, tmp_path):
    breaks = iter([700_000, 700_000])
    server.send = lambda handler, start: server.send_well(handler, start, next(breaks))
    with pytest.raises(FileNotFoundError, match=r"cannot be fetched \(the connection broke off\): run again"):
        fetch(server.archive, tmp_path)
    assert names(tmp_path) == ["annotations_trainval2017.zip.part"]
    server.send = server.send_well
    assert fetch(server.archive, tmp_path).read_bytes() == server.content
    assert server.ranges[-1] == "bytes=700000-"


def test_a_file_with_another_checksum_is_deleted_and_fetched_anew(server, tmp_path):
    right, content = server.archive, server.content
    server.content = content[:-1] + b"?"
    with pytest.raises(
        ValueError, match=r"sent another file \(SHA-256 .*put the right one at .*trainval2017.zip by hand"
    ):
        fetch(right, tmp_path)
    assert names(tmp_path) == []
    server.content = content
    assert fetch(right, tmp_path).read_bytes() == content


def test_a_page_instead_of_the_file_is_refused_before_it_is_stored(server, tmp_path):
    right = server.archive
    server.content = b"<html>please log in</html>"
    with pytest.raises(FileNotFoundError, match=r"\(it offers 26 bytes instead of [\d,]+\)"):
        fetch(right, tmp_path)
    assert (tmp_path / "annotations_trainval2017.zip.part").stat().st_size == 0


def test_a_file_put_there_by_hand_is_used_if_it_is_the_right_one(server, tmp_path):
    path = tmp_path / "annotations_trainval2017.zip"
    path.write_bytes(server.content[:-1])
    with pytest.raises(ValueError, match=rf"{path} is not the file of http.*: delete it and run again"):
        fetch(server.archive, tmp_path)
    assert path.stat().st_size == len(server.content) - 1, "somebody's file is left to them"
    path.write_bytes(server.content)
    assert fetch(server.archive, tmp_path) == path
    assert server.ranges == []


KILLED = """
import sys
from pathlib import Path
from bfkit.dataset.download import Archive, fetch
url, size, sha256, folder = sys.argv[1:]
fetch(Archive(url, int(size), sha256), Path(folder))
"""


@pytest.mark.slow
def test_a_killed_download_goes_on_where_it_was(server, tmp_path):
    reached = threading.Event()

    def stall(handler: BaseHTTPRequestHandler, start: int) -> None:
        server.send_well(handler, start, 2_200_000)
        handler.wfile.flush()
        reached.wait(60)

    server.send = stall
    archive = server.archive
    arguments = [archive.url, str(archive.size), archive.sha256, str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stderr=subprocess.DEVNULL)
    part = tmp_path / "annotations_trainval2017.zip.part"
    wait_for(lambda: part.is_file() and part.stat().st_size >= 2**21)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached.set()
    server.send = server.send_well
    assert names(tmp_path) == [part.name]
    assert fetch(archive, tmp_path).read_bytes() == server.content
    assert server.ranges == [None, f"bytes={2**21}-"]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_two_runs_at_once_do_not_spoil_each_others_file(server, tmp_path):
    together = threading.Barrier(2)

    def wait_and_send(handler: BaseHTTPRequestHandler, start: int) -> None:
        together.wait(30)
        server.send_well(handler, start)

    server.send = wait_and_send
    runs = [threading.Thread(target=fetch, args=(server.archive, tmp_path)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert (tmp_path / "annotations_trainval2017.zip").read_bytes() == server.content
    assert names(tmp_path) == ["annotations_trainval2017.zip"]


def test_a_silent_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    over = threading.Event()
    server.send = lambda handler, start: over.wait(30)
    with pytest.raises(FileNotFoundError, match="timed out"):
        fetch(server.archive, tmp_path)
    over.set()


def test_an_answer_that_is_no_file_is_told_with_its_reason(server, tmp_path):
    server.send = lambda handler, start: handler.send_error(403)
    with pytest.raises(FileNotFoundError, match=r"cannot be fetched \(Forbidden\)"):
        fetch(server.archive, tmp_path)


def test_without_a_network_the_sentence_names_the_address_and_where_to_put_the_file(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    url = f"http://127.0.0.1:{port}/annotations/annotations_trainval2017.zip"
    monkeypatch.setattr(captions, "COCO", replace(download.COCO, url=url))
    with pytest.raises(FileNotFoundError) as error:
        read_captions("val2017")
    path = tmp_path / "bfkit" / "annotations_trainval2017.zip"
    assert str(error.value).startswith(f"no {path}, and {url} cannot be fetched (")
    assert str(error.value).endswith("or put the file there by hand")
    assert "\n" not in str(error.value)


def test_a_cache_that_cannot_be_written_is_told_with_its_reason(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileNotFoundError, match=r"cannot be fetched \(.*(Not a directory|exists)"):
        fetch(server.archive, tmp_path / "file")


@pytest.mark.slow
def test_busyness_is_the_scenes_or_counts_words_where_a_caption_is_not_of_the_world():
    known = list(captions.mini_captions())[:3]
    measure, values = captions.busyness(known)
    assert measure == "complexity of the scene"
    assert values == [captions.mini_captions()[text].complexity for text in known]
    assert captions.busyness([*known, "a man rides a horse"])[1][-1] == 5
    assert captions.busyness([*known, "ein grüner Kreis"])[0] == "words of the caption"
