"""The classroom's server and the files it leaves: every answer once, and nothing that is no answer."""

import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
from study_helpers import pictures, post, serving

from bfkit import study
from bfkit.study.records import SCHEMA, check_row
from bfkit.study.serve import MAX_BODY, MAX_ROWS


def _body(rows: pl.DataFrame | list[dict]) -> bytes:
    return json.dumps({"rows": rows.to_dicts() if isinstance(rows, pl.DataFrame) else rows}).encode()


def test_a_hundred_participants_posting_at_once_are_all_stored_exactly_once(folder, answers, tmp_path):
    together = threading.Barrier(100)

    def participate(rows: pl.DataFrame) -> set[int]:
        together.wait(60)
        # Half an order, all of it, and all of it again, as after an acknowledgement that never arrived.
        return {post(server.url, _body(part))[0] for part in (rows[:7], rows, rows)}

    with serving(folder, tmp_path) as server, ThreadPoolExecutor(100) as pool:
        statuses = set().union(*pool.map(participate, answers.partition_by("participant")))
    assert statuses == {200}
    assert study.read_answers(tmp_path).equals(answers.sort("participant", "session", "position"))
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == len(answers) == 1400
    assert pl.read_parquet(tmp_path / "answers.parquet").equals(study.read_answers(tmp_path))


def test_a_server_started_again_knows_what_it_has_and_a_line_cut_off_is_sent_again(folder, answers, tmp_path):
    rows = answers[:14]
    with serving(folder, tmp_path) as server:
        assert post(server.url, _body(rows[:5])) == (200, {"stored": 5, "received": 5})
    journal = tmp_path / "answers.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    assert len(study.read_answers(tmp_path)) == 4
    with serving(folder, tmp_path) as server:
        assert post(server.url, _body(rows)) == (200, {"stored": 10, "received": 14})
    assert study.read_answers(tmp_path).equals(rows)


def test_an_answer_is_never_overwritten(folder, answers, tmp_path):
    row = answers.row(3, named=True)
    other = "B" if row["choice"] == "A" else "A"
    changed = {**row, "choice": other, "chosen": row["left_condition" if other == "A" else "right_condition"]}
    with serving(folder, tmp_path) as server:
        assert post(server.url, _body([row]))[0] == 200
        status, reply = post(server.url, _body([answers.row(4, named=True), changed]))
        assert status == 400 and "was answered before, and otherwise" in reply["error"]
    assert study.read_answers(tmp_path).to_dicts() == [row], "a post is stored whole or not at all"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"participant": "../../etc/passwd"}, "letters, digits"),
        ({"participant": "a\n"}, "letters, digits"),
        ({"participant": None}, "letters, digits"),
        ({"session": "../x"}, "32 hex digits"),
        ({"study": "another"}, "belong to study 'another'"),
        ({"order": 10**30}, "no such order"),
        ({"order": -1}, "no such order"),
        ({"position": True}, "no such order and position"),
        ({"position": 14}, "no such order and position"),
        ({"prompt": "forged"}, "another prompt"),
        ({"left_steps": 17.0, "right_steps": 22.0}, "another left_steps, right_steps"),
        ({"choice": "C"}, "a choice is A or B"),
        ({"chosen": "DECOY"}, "not the one that was"),
        ({"rt_ms": float("nan")}, "rt_ms is a number"),
        ({"rt_ms": -1}, "rt_ms is a number"),
        ({"rt_ms": 10**400}, "rt_ms is a number"),
        ({"shown_at": 1.5}, "whole number"),
        ({"simulated": 1}, "simulated is true or false"),
        ({"hidden": "no"}, "hidden is true or false"),
        ({"prolific_study": "a/b"}, "prolific_study is empty"),
        ({"extra": 1}, "an answer has the fields"),
    ],
)
def test_a_malformed_answer_is_refused_with_a_sentence_and_stores_nothing(folder, answers, tmp_path, change, sentence):
    rows = [answers.row(2, named=True), {**answers.row(3, named=True), **change}]
    with serving(folder, tmp_path) as server:
        status, reply = post(server.url, _body(rows))
        assert status == 400 and sentence in reply["error"]
    assert study.read_answers(tmp_path).is_empty()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"rows": []}', b'{"rows": 5}', b'{"rows": [5]}', b"\xff\xfe",
                                  b"[" * 100_000, b'{"rows": [' + b"1," * MAX_ROWS + b"1]}"])  # fmt: skip
def test_a_malformed_post_is_refused_with_a_sentence(folder, tmp_path, body):
    with serving(folder, tmp_path) as server:
        status, reply = post(server.url, body)
    assert status == 400 and len(reply["error"]) > 10


def test_an_oversized_post_is_refused_before_it_is_read_and_its_sender_hears_why(folder, tmp_path):
    with serving(folder, tmp_path) as server:
        status, reply = post(server.url, b" " * (MAX_BODY + 1))
        assert status == 413 and f"at most {MAX_BODY} bytes" in reply["error"]
        for length in (b"Content-Length: -5", b"Content-Length: 1e3", b"Transfer-Encoding: chunked", b"X: y"):
            with socket.create_connection(server.server_address) as client:
                client.sendall(b"POST /answers HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
                assert client.recv(100).split()[1] in (b"400", b"411")


def test_a_post_that_breaks_off_stores_nothing_and_the_server_goes_on(folder, answers, tmp_path):
    body = _body(answers[:3])
    with serving(folder, tmp_path) as server:
        with socket.create_connection(server.server_address) as client:
            client.sendall(
                f"POST /answers HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:-9]
            )
        assert post(server.url, body) == (200, {"stored": 3, "received": 3})


def _get(address: tuple[str, int], target: str) -> bytes:
    with socket.create_connection(address) as client:
        client.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_only_the_studys_own_files_are_handed_out(folder, tmp_path):
    (folder / "notes.txt").write_text("secret")
    (folder / "answers").mkdir(exist_ok=True)
    with serving(folder, folder / "answers") as server:
        for target in ("/../../etc/passwd", "//etc/passwd", "/%2e%2e/x", "/notes.txt", "/pictures/", "/answers",
                       "/answers/answers.jsonl", "/study.js/../notes.txt", "/\x00", "/%00"):  # fmt: skip
            reply = _get(server.server_address, target)
            assert reply.split()[1] in (b"400", b"404") and b"secret" not in reply
        for target in ("/", "/index.html?participant=a", "/vendor/jspsych.js", "/study.js"):
            assert b" 200 " in _get(server.server_address, target)[:20]
        assert b'STUDY.page.post ??= "answers"' in _get(server.server_address, "/study.js")


def test_the_server_listens_to_this_machine_alone_unless_told_otherwise(folder, tmp_path):
    with serving(folder, tmp_path) as server:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(ValueError, match="choose another with --port"):
            study.StudyServer(folder, tmp_path / "other", port=server.server_address[1])


def test_a_full_disk_is_told_and_what_could_not_be_stored_is_taken_later(folder, answers, tmp_path, monkeypatch):
    with serving(folder, tmp_path) as server:
        assert post(server.url, _body(answers[:2]))[0] == 200
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            status, reply = post(server.url, _body(answers[:5]))
        assert status == 507 and "No space left" in reply["error"]
        assert len(study.read_answers(tmp_path)) == 2
        assert post(server.url, _body(answers[:5])) == (200, {"stored": 3, "received": 5})
    assert study.read_answers(tmp_path).equals(answers[:5])


def test_answers_to_another_study_are_not_mixed_in(folder, answers, tmp_path):
    study.build(pictures(6), tmp_path / "page", trials=2)
    with serving(folder, tmp_path / "out") as server:
        post(server.url, _body(answers[:2]))
    with pytest.raises(ValueError, match="holds answers to study"):
        study.StudyServer(tmp_path / "page", tmp_path / "out", port=0)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_answers_are_the_same_from_a_table_a_csv_a_json_and_a_folder_of_them(answers, tmp_path):
    expected = answers.sort("participant", "session", "position")
    answers.write_parquet(tmp_path / "a.parquet")
    answers.write_csv(tmp_path / "b.csv")
    (tmp_path / "c.json").write_text(json.dumps(answers.to_dicts()))
    for name in ("a.parquet", "b.csv", "c.json", ""):
        assert study.read_answers(tmp_path / name).equals(expected)
    assert study.read_answers(tmp_path).schema == SCHEMA


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.parquet"])
def test_a_file_without_answers_is_named(tmp_path, name):
    (tmp_path / name).write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match=f"{name} holds no answers"):
        study.read_answers(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there are no answers at"):
        study.read_answers(tmp_path / "nowhere")


def test_a_simulated_answer_is_taken_as_such(folder, answers):
    row = answers.row(0, named=True)
    assert check_row(study.read_study(folder), row) == row and row["simulated"] is True


AUTHORS = """trial,participant,imgRef,imgA,imgB,isImgASelected
1,Xy,/ref/a cat.png,/test/0_ours.png,/test/0_uniform.png,true
2,Xy,/ref/a dog.png,/test/1_uniform.png,/test/1_ours.png,true
3,Xy,/ref/a cat.png,/test/2_uniform.png,/test/2_ours.png,false
"""


def test_the_authors_csv_is_imported_and_warned_of(tmp_path):
    (tmp_path / "theirs.csv").write_text(AUTHORS)
    with pytest.warns(UserWarning, match="logged the pair as it was before.*drew the reference at random"):
        rows = study.import_authors_csv(tmp_path / "theirs.csv")
    assert rows.schema == SCHEMA and rows["chosen"].to_list() == ["OURS", "UNIFORM", "OURS"]
    assert rows["prompt"].to_list() == ["a cat.png", "a dog.png", "a cat.png"]
    unknown = ("left_condition", "right_condition", "choice", "rt_ms", "left_steps")
    assert all(rows[name].is_null().all() for name in unknown), "the page did not log what stood where"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (AUTHORS.replace("ours", "x"), "does not tell which picture is OURS"),
        (AUTHORS.replace("imgRef", "ref"), "its columns are trial, participant"),
        (AUTHORS.replace("false", "maybe"), "isImgASelected is true or false"),
        (AUTHORS.replace("2,Xy", ",Xy"), "no trial or no participant"),
    ],
)
def test_a_damaged_csv_of_the_authors_is_refused_with_a_sentence(tmp_path, text, sentence):
    (tmp_path / "theirs.csv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        study.import_authors_csv(tmp_path / "theirs.csv")
