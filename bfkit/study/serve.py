"""A classroom's server: hands out the page of one study, and stores the answers that come back, each exactly once."""

import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from .folder import ASSETS, DATA, read_study
from .journal import Journal
from .records import JOURNAL, check_row, read_answers

POST = "answers"  # the path answers are posted to
MAX_BODY = 256 * 1024  # bytes; the page sends at most 20 answers of about 700 bytes at once
MAX_ROWS = 200
MAX_REFUSED = 8 * 2**20  # bytes of a post that is too long, read so that its sender hears why
MAX_CONNECTIONS = 512
SILENCE = 20.0  # seconds a connection may say nothing
WHOLE = 60.0  # seconds a request may take to arrive
PAUSE = 2.0  # seconds between two writings of the table
PAGE_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; connect-src *"


class StudyServer(ThreadingHTTPServer):
    """One study's page at ``/`` and its answers at ``/answers``; nothing else is read, nothing else is written."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512  # a class presses the last button at once

    def __init__(self, folder: str | Path, out: str | Path, host: str = "127.0.0.1", port: int = 8000) -> None:
        folder, out = Path(folder), Path(out)
        self.study = read_study(folder)
        # Fixed at the start: a request names one of these, or nothing; no path is ever made of what it says.
        pictures = {picture.file for stimulus in self.study.stimuli for picture in stimulus.pictures.values()}
        self.files = {f"/{name}": folder / name for name in (*ASSETS, DATA, *pictures)}
        self.files["/"] = folder / "index.html"
        self.journal = Journal(out, self.study)
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self._write_tables, daemon=True)
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise ValueError(f"cannot listen on {host}:{port} ({error.strerror}): choose another with --port") from None
        self._writer.start()

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self.server_address[:2]
        return f"http://{host}:{port}/"

    def _write_tables(self) -> None:
        while not self._stop.wait(PAUSE):
            self._write_table()

    def _write_table(self) -> None:
        try:
            self.journal.write_table()
        except OSError as error:  # the journal has every answer; the table is written again with the next one
            print(f"bfkit: note: {error}")

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, if one is free; hang up otherwise, and the page will try again."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's to open again."""

    def server_close(self) -> None:
        """Stop listening and write the table."""
        super().server_close()
        self._stop.set()
        if self._writer.is_alive():  # it is not where the address was taken
            self._writer.join()
        self._write_table()
        self.journal.close()


class _Handler(BaseHTTPRequestHandler):
    server: StudyServer
    server_version, sys_version = "bfkit", ""
    timeout = SILENCE

    def do_GET(self) -> None:
        path = self.server.files.get(self.path.partition("?")[0])
        if path is None:
            return self._reply(HTTPStatus.NOT_FOUND, b"there is no such page", "text/plain")
        try:
            content = path.read_bytes()
        except OSError:
            return self._reply(HTTPStatus.NOT_FOUND, b"the file is gone", "text/plain")
        if path.name == DATA:
            content += f'STUDY.page.post ??= "{POST}";\n'.encode()
        self._reply(HTTPStatus.OK, content, guess_type(path.name)[0] or "application/octet-stream")

    def do_OPTIONS(self) -> None:
        self._reply(HTTPStatus.NO_CONTENT)

    def do_POST(self) -> None:
        if self.path.partition("?")[0] != f"/{POST}":
            return self._answer(HTTPStatus.NOT_FOUND, f"answers are posted to /{POST}")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            return self._answer(HTTPStatus.LENGTH_REQUIRED, "say how long the post is, in Content-Length")
        if len(length) > 15 or int(length) > MAX_BODY:
            self._read(min(int(length[:15]), MAX_REFUSED))
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a post has at most {MAX_BODY} bytes")
        body = self._read(int(length))
        if body is None:
            return self._answer(HTTPStatus.REQUEST_TIMEOUT, "the post did not arrive whole: send it again")
        try:
            rows = [check_row(self.server.study, row) for row in _rows(body)]
            stored = self.server.journal.add(rows)
        except ValueError as error:
            return self._answer(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:
            return self._answer(HTTPStatus.INSUFFICIENT_STORAGE, f"not stored ({error.strerror or error})")
        self._answer(HTTPStatus.OK, None, stored=stored, received=len(rows))

    def _read(self, length: int) -> bytes | None:
        """The body, or None if it does not come in time."""
        content, deadline = b"", time.monotonic() + WHOLE
        try:
            while len(content) < length and time.monotonic() < deadline:
                part = self.rfile.read1(length - len(content))
                if not part:
                    return None
                content += part
        except OSError:
            return None
        return content if len(content) == length else None

    def _answer(self, status: HTTPStatus, error: str | None, **counts: int) -> None:
        self._reply(status, json.dumps(counts if error is None else {"error": error}).encode(), "application/json")

    def _reply(self, status: HTTPStatus, content: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", PAGE_POLICY)
        # A page opened by a double click posts from nowhere. Answers go in by here and none come out.
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Methods", "POST")
        self.send_header("Access-Control-Allow-Headers", "Content-Type")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Addresses of participants are not written anywhere."""


def _rows(body: bytes) -> list:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("a post is JSON") from None
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise ValueError(f'a post is {{"rows": [...]}} with 1 to {MAX_ROWS} answers')
    return rows


def serve(folder: str | Path, out: str | Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve a study until interrupted: answers go to ``answers.jsonl`` and ``answers.parquet`` in the folder ``out``.

    Bound to this machine alone unless ``host`` says otherwise (``0.0.0.0``: the classroom's network). Raises
    FileNotFoundError or ValueError if the folder holds no study or the address is taken.
    """
    with StudyServer(folder, out, host, port) as server:
        print(f"{server.url} collects into {out}; stop with Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"stopped; {len(read_answers(out)) if (Path(out) / JOURNAL).exists() else 0} answers in {out}")
