"""A classroom's server: hands out the page of one study, and stores the answers that come back, each exactly once.

Tornado's, which every Jupyter comes with: one thread waits for all connections, so that one that dawdles costs some
kilobytes and not a thread, and a request's head and its body each have a deadline of their own.
"""

import asyncio
import json
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from mimetypes import guess_type
from pathlib import Path
from types import TracebackType
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler, stream_request_body

from .connections import MAX_CONNECTIONS, BoundedServer
from .folder import ASSETS, DATA, read_study
from .journal import Journal
from .records import JOURNAL, check_row, read_answers

POST = "answers"  # the path answers are posted to
MAX_BODY = 256 * 1024  # bytes; the page sends at most 20 answers of about 700 bytes at once
MAX_ROWS = 200
MAX_REFUSED = 8 * 2**20  # bytes of a post that is too long, read so that its sender hears why
MAX_HEAD = 16 * 1024  # bytes
HEAD, BODY = 20.0, 60.0  # seconds that a request's head may take to arrive, and its body
PAUSE = 2.0  # seconds between two writings of the table
ENDING = 1.0  # seconds that requests have to end when the server is stopped
PART = 64 * 1024  # bytes of a file in memory for one that reads slowly
PAGE_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; connect-src *"


class StudyServer:
    """One study's page at ``/`` and its answers at ``/answers``; nothing else is read, nothing else is written."""

    def __init__(self, folder: str | Path, out: str | Path, host: str = "127.0.0.1", port: int = 8000) -> None:
        folder, out = Path(folder), Path(out)
        self.study = read_study(folder)
        # Fixed at the start: a request names one of these, or nothing; no path is ever made of what it says.
        pictures = {picture.file for stimulus in self.study.stimuli for picture in stimulus.pictures.values()}
        self.files = {f"/{name}": folder / name for name in (*ASSETS, DATA, *pictures)}
        self.files["/"] = folder / "index.html"
        self.journal = Journal(out, self.study)
        self._stopped = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:  # a class presses the last button at once
            self._socket = socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
        except (OSError, UnicodeError, OverflowError) as error:
            self.journal.close()
            why = getattr(error, "strerror", None) or error
            raise ValueError(f"cannot listen on {host}:{port} ({why}): choose another with --port") from None
        self._socket.setblocking(False)
        self.server_address: tuple[str, int] = self._socket.getsockname()[:2]

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self.server_address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def serve_forever(self) -> None:
        """Answer until ``shutdown``; requests that have begun by then may end."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        # Answers are stored and the table is written in threads: a slow disk keeps nobody waiting for the page.
        application = Application([(r".*", _Handler, {"study": self})], log_function=lambda _: None)
        http = BoundedServer(application, no_keep_alive=True, max_header_size=MAX_HEAD, max_body_size=MAX_REFUSED,
                        idle_connection_timeout=HEAD, body_timeout=BODY)  # fmt: skip
        http.add_socket(self._socket)
        tables = asyncio.create_task(self._write_tables(http))
        try:
            await asyncio.to_thread(self._stopped.wait)
        finally:
            self._stopped.set()
            tables.cancel()
            http.stop()
            await http.drain(ENDING)

    async def _write_tables(self, http: "BoundedServer") -> None:
        while True:
            await asyncio.sleep(PAUSE)
            http.close_old()
            await asyncio.to_thread(self._write_table)

    def _write_table(self) -> None:
        try:
            self.journal.write_table()
        except OSError as error:  # the journal has every answer; the table is written again with the next one
            print(f"bfkit: note: {error}", file=sys.stderr)

    def store(self, body: bytes) -> tuple[HTTPStatus, dict[str, Any]]:
        """Store what was posted; what to answer."""
        try:
            rows = [check_row(self.study, row) for row in _rows(body)]
            return HTTPStatus.OK, {"stored": self.journal.add(rows), "received": len(rows)}
        except ValueError as error:
            return HTTPStatus.BAD_REQUEST, {"error": str(error)}
        except OSError as error:
            return HTTPStatus.INSUFFICIENT_STORAGE, {"error": f"not stored ({error.strerror or error})"}

    def shutdown(self) -> None:
        """Let ``serve_forever`` end; from any thread."""
        self._stopped.set()

    def __enter__(self) -> "StudyServer":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop listening and write the table."""
        self._socket.close()
        self._write_table()
        self.journal.close()


@stream_request_body
class _Handler(RequestHandler):
    def initialize(self, study: StudyServer) -> None:
        self.study, self.received, self.body = study, 0, bytearray()

    def set_default_headers(self) -> None:
        self.set_header("Server", "bfkit")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", PAGE_POLICY)
        # A page opened by a double click posts from nowhere. Answers go in by here and none come out.
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Methods", "POST")
        self.set_header("Access-Control-Allow-Headers", "Content-Type")

    def prepare(self) -> None:
        if self.request.method != "POST":
            return
        if self.request.path != f"/{POST}":
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"answers are posted to /{POST}"})
        elif "Content-Length" not in self.request.headers or "Transfer-Encoding" in self.request.headers:
            self._answer(HTTPStatus.LENGTH_REQUIRED, {"error": "say how long the post is, in Content-Length"})

    def data_received(self, chunk: bytes) -> None:
        self.received += len(chunk)
        if self.received <= MAX_BODY:
            self.body += chunk

    async def get(self) -> None:
        path = self.study.files.get(self.request.path)
        try:
            size = None if path is None else path.stat().st_size
        except OSError:
            size = None
        if path is None or size is None:
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})
        last = f'STUDY.page.post ??= "{POST}";\n'.encode() if path.name == DATA else b""
        kind = guess_type(path.name)[0] or "application/octet-stream"
        self.set_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.set_header("Content-Length", str(size + len(last)))
        with suppress(StreamClosedError, OSError):  # who asked has gone, or the file
            for start in range(0, size, PART):
                self.write(_part(path, start))
                await self.flush()
            self.write(last)

    async def post(self) -> None:
        if self.received > MAX_BODY:
            said = {"error": f"a post has at most {MAX_BODY} bytes"}
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
        self._answer(*await asyncio.to_thread(self.study.store, bytes(self.body)))

    def options(self) -> None:
        self.set_status(HTTPStatus.NO_CONTENT)

    def _answer(self, status: HTTPStatus, said: dict[str, Any]) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(said).encode())


def _part(path: Path, start: int) -> bytes:
    """Opened for every part anew: whoever reads slowly holds no file open."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(PART)


def _rows(body: bytes) -> list:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("a post is JSON") from None
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise ValueError(f'a post is {{"rows": [...]}} with 1 to {MAX_ROWS} answers')
    return rows


@contextmanager
def _stopped_by_signals(server: StudyServer) -> Iterator[None]:
    """Ctrl-C and SIGTERM are how a server ends: requests that have begun are answered, and everything is written."""
    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: server.shutdown()) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


def serve(folder: str | Path, out: str | Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve a study until Ctrl-C or SIGTERM: answers go to ``answers.jsonl`` and ``answers.parquet`` in ``out``.

    Bound to this machine alone unless ``host`` says otherwise (``0.0.0.0``: the classroom's network). Raises
    FileNotFoundError or ValueError if the folder holds no study or the address is taken.
    """
    logging.getLogger("tornado").setLevel(logging.CRITICAL)  # addresses of participants are not written anywhere
    server = StudyServer(folder, out, host, port)
    with _stopped_by_signals(server):
        with server:
            print(f"{server.url} collects into {out}; stop with Ctrl-C", flush=True)
            server.serve_forever()
        print(f"stopped; {len(read_answers(out)) if (Path(out) / JOURNAL).exists() else 0} answers in {out}")
