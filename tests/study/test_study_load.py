"""A class among connections that dawdle, slow but honest visitors, and an end that loses nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import polars as pl
import pytest
from study_helpers import post, serving

from bfkit import study
from bfkit.study import connections

DAWDLERS, VISITORS = 520, 100


def body(rows: pl.DataFrame) -> bytes:
    return json.dumps({"rows": rows.to_dicts()}).encode()


@contextmanager
def served(folder, out):
    """The command in a process of its own: the process, and its address."""
    command = [sys.executable, "-m", "bfkit.cli", "study", "serve", str(folder), "--out", str(out), "--port", "0"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    try:
        line = run.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), run.stderr.read()
        yield run, line.split()[0]
    finally:
        run.kill()
        run.communicate()


@contextmanager
def dawdling(address: tuple[str, int], count: int = DAWDLERS):
    """Connections that send a byte of a request each second, for at most a minute, and come again when cut off."""
    stopped, there = threading.Event(), threading.Event()

    def dawdle() -> None:
        open_, end = [], time.monotonic() + 60
        while not stopped.is_set() and time.monotonic() < end:
            for _ in range(count - len(open_)):
                client = socket.create_connection(address, timeout=5)
                client.settimeout(0)
                client.send(b"GET / HTTP/1.1\r\nX: ")
                open_.append(client)
            there.set()
            stopped.wait(1)
            for client in open_[:]:
                try:
                    client.send(b"x")
                except OSError:
                    open_.remove(client)
                    client.close()
        for client in open_:
            client.close()

    thread = threading.Thread(target=dawdle)
    thread.start()
    try:
        assert there.wait(30)
        yield
    finally:
        stopped.set()
        thread.join()


def memory(process: int) -> tuple[int, int]:
    """Threads, and resident megabytes."""
    with open(f"/proc/{process}/status", encoding="utf-8") as file:
        told = dict(line.split(":", 1) for line in file)
    return int(told["Threads"]), int(told["VmRSS"].split()[0]) // 1024


@pytest.mark.slow
def test_a_class_is_served_among_five_hundred_connections_that_dawdle(folder, answers, tmp_path):
    """Of one address all of them, as behind a router."""
    with served(folder, tmp_path / "out") as (run, url):
        host, port = url.removeprefix("http://").rstrip("/").split(":")
        assert post(url, body(answers[:1]))[0] == 200
        before = memory(run.pid)
        with dawdling((host, int(port))):
            took = []
            for rows in answers.partition_by("participant"):
                began = time.monotonic()
                assert post(url, body(rows)) == (200, {"stored": len(rows) - (not took), "received": len(rows)})
                took.append(time.monotonic() - began)
            threads, megabytes = memory(run.pid)
        print(f"{len(took)} visitors, slowest {max(took):.3f} s; {threads} threads, {megabytes - before[1]} MB more")
        assert len(took) == VISITORS and sorted(took)[-3] < 1
        assert threads < 64 and megabytes - before[1] < 100
        run.send_signal(signal.SIGTERM)
        printed, errors = run.communicate(timeout=60)
    assert run.returncode == 0 and errors == ""
    assert f"stopped; {len(answers)} answers" in printed
    assert pl.read_parquet(tmp_path / "out" / "answers.parquet").equals(study.read_answers(tmp_path / "out"))
    assert len(study.read_answers(tmp_path / "out")) == len(answers)


def test_a_visitor_on_a_slow_line_is_served_while_others_come_and_go(folder, answers, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 32)
    sent = body(answers[:3])
    head = f"POST /answers HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sent)}\r\n\r\n".encode()
    with (
        serving(folder, tmp_path) as server,
        dawdling(server.server_address, 40),
        socket.create_connection(server.server_address, timeout=30) as slow,
    ):
        for piece in (head[:9], head[9:], sent[:500], sent[500:600]):
            slow.sendall(piece)
            for rows in answers[3:9].iter_slices(1):  # the others, meanwhile
                assert post(server.url, body(rows))[0] == 200
        slow.sendall(sent[600:])
        reply = b"".join(iter(lambda: slow.recv(65536), b""))
    assert b" 200 " in reply[:20] and b'"stored": 3' in reply


def test_one_that_holds_many_connections_gives_way_and_others_do_not(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 8)
    with serving(folder, tmp_path) as server:
        quiet = socket.create_connection(server.server_address, 30, ("127.0.0.2", 0))
        quiet.sendall(b"GET / HT")
        many = [socket.create_connection(server.server_address, 30) for _ in range(12)]
        for number, client in enumerate(many):
            client.settimeout(30 if number < 5 else 0.05)
            if number < 5:
                assert client.recv(1) == b"", "the oldest of the address that has most were cut off"
            else:
                with pytest.raises(TimeoutError):
                    client.recv(1)
        quiet.sendall(b"TP/1.0\r\n\r\n")
        assert b" 200 " in quiet.recv(20)
        for client in (quiet, *many):
            client.close()


def test_a_head_and_a_body_that_do_not_come_are_given_up(folder, tmp_path, monkeypatch):
    module = sys.modules["bfkit.study.serve"]  # the package has a function of that name
    monkeypatch.setattr(module, "HEAD", 0.2)
    monkeypatch.setattr(module, "BODY", 0.2)
    with serving(folder, tmp_path) as server:
        for sent in (b"", b"GET / HTTP/1.1\r\n", b"POST /answers HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"):
            with socket.create_connection(server.server_address, timeout=30) as client:
                client.sendall(sent)
                assert client.recv(100) == b""


def test_a_request_that_has_begun_is_answered_before_the_server_ends(folder, answers, tmp_path, monkeypatch):
    begun, fsync = threading.Event(), os.fsync

    def slowly(file: int) -> None:
        begun.set()
        assert server._stopped.wait(30)
        fsync(file)

    with serving(folder, tmp_path) as server:
        monkeypatch.setattr(os, "fsync", slowly)
        replies = []
        visitor = threading.Thread(target=lambda: replies.append(post(server.url, body(answers[:2]))))
        visitor.start()
        assert begun.wait(30)
        server.shutdown()
        visitor.join(30)
    assert replies == [(200, {"stored": 2, "received": 2})]
    assert len(pl.read_parquet(tmp_path / "answers.parquet")) == 2
