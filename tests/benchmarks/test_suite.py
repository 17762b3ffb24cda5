"""Both of a pair do the same work, what is measured is what is reported, and what is not measured says so."""

import json
import time

import polars as pl
import pytest
import torch

from bfkit import paper
from bfkit.benchmarks import gpu_changes, queries, sd2_gpu, suite
from bfkit.dataset.table import SCHEMA
from bfkit.devices import device_name
from bfkit.mini.tiny import sd2
from bfkit.profiles import PredictorSettings


def test_the_ratio_is_of_pairs_called_in_turn():
    calls = []

    def ours() -> None:
        calls.append("ours")
        time.sleep(0.005)

    def plain() -> None:
        calls.append("plain")
        time.sleep(0.02)

    found = suite.side_by_side(ours, plain, repeats=3)
    assert calls == ["ours", "plain"] * 4, "a warm-up and three counted pairs"
    assert found["least"] <= found["ratio"] <= found["most"]
    assert found["least"] <= found["fastest"] <= found["most"]
    assert found["ours_seconds"] >= 0.005
    assert found["plain_seconds"] >= 0.02
    assert found["ratio"] > 1


@pytest.mark.parametrize(
    ("measure", "size"),
    [
        (lambda: suite.generation(count=1, step_counts=(1, 2)), "8 miniature pictures"),
        (lambda: suite.pixels(count=2, size=48), "2 pictures of 48 x 48"),
        (lambda: next(suite.selection(count=300, clusters=60, timed=30)), "300 x 512 rows"),
        (lambda: suite.prediction(count=8), "8 prompts"),
        (lambda: suite.look(count=1, steps=2, repeats=1), "1 miniature pictures of 2 steps"),
    ],
    ids=["generation", "l_snr", "selection", "prediction", "look"],
)
def test_a_pair_names_what_was_measured_and_how_large_it_was(measure, size):
    found = measure()
    assert found["size"] == size
    assert found["what"]
    assert found["plain"]
    assert found["ratio"] > 0
    assert found["device"] == device_name(torch.device("cpu"))


def test_the_loop_beside_the_selection_keeps_the_same_rows(monkeypatch):
    pair, whole = suite.selection(count=500, clusters=50, timed=500)
    assert pair["ours_seconds"] == pytest.approx(whole["ours_seconds"]), "all rows timed, all of the time"
    assert "500 x 512" in whole["size"] and "kept" in whole["what"]
    choose = suite.select_dissimilar
    monkeypatch.setattr(suite, "select_dissimilar", lambda rows: choose(rows)[:-1])
    with pytest.raises(AssertionError, match="keeps other rows"):
        next(suite.selection(count=500, clusters=50, timed=500))


def test_queries_are_asked_of_a_table_of_the_papers_shape():
    table = queries._many_rows(4 * 12 * 50)
    assert table.schema == SCHEMA
    assert table["prompt"].n_unique() == 50
    assert table.group_by("prompt_id", "seed").len()["len"].unique().to_list() == [12]
    assert set(table["steps"].unique()) == set(paper.STEP_COUNTS)
    found = list(queries.queries(4 * 12 * 800))
    assert len(found) == 4
    assert all(row["plain"] == "pandas" for row in found)


def test_a_run_writes_everything_with_the_hardware_and_says_what_was_not_measured(tmp_path, monkeypatch):
    def pixels() -> dict:
        return suite.pixels(count=2, size=48)

    monkeypatch.setattr(suite, "ON_DEVICE", ())
    monkeypatch.setattr(suite, "ON_CPU", (pixels,))
    pairs = suite.run(tmp_path, torch.device("cpu"))
    noted = json.loads((tmp_path / "benchmarks.json").read_text())
    assert noted["pairs"] == pairs.to_dicts()
    assert [pair["device"] for pair in noted["pairs"]] == [device_name(torch.device("cpu"))]
    assert noted["gpu_device"] is None
    assert {found["value"] for found in noted["gpu"].values()} == {"not measured"}
    assert pl.read_csv(tmp_path / "tables" / "benchmarks.csv")["what"].to_list() == ["L-SNR"]
    assert "not measured" in (tmp_path / "tables" / "benchmarks.md").read_text()


@pytest.mark.slow
def test_the_gpus_measures_are_taken_of_any_unet(monkeypatch):
    """The very code of the GPU's part, on a tiny UNet and without the compiler, whose minutes are the GPU's."""
    monkeypatch.setattr(torch, "compile", lambda forward: forward)
    monkeypatch.setattr(sd2_gpu, "matrix_rate", lambda device: 2.0)
    unet = sd2().unet.to(torch.bfloat16)
    found = sd2_gpu._measure(torch.device("cpu"), 2, unet, size=64)
    assert set(found) | {"peak memory"} == set(sd2_gpu.UNITS)
    assert found["UNet's share of the bf16 matrix rate"] > 0
    assert found["image at 65 steps"] > found["image at 23 steps"] > 0
    assert found["energy of an image at 65 steps"] == "not measured"


@pytest.mark.slow
def test_every_row_of_the_gpus_table_is_filled_in_by_any_stack_and_a_failing_one_stops_no_other(monkeypatch):
    """The very code of ``bench --gpu``, on a tiny UNet and without the compiler."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda forward: compiled.append(forward) or forward)
    tiny = sd2()
    stack = gpu_changes.Stack(
        torch.device("cpu"), tiny.unet.to(torch.bfloat16), tiny.vae.to(torch.bfloat16), 16, (2, 1, 16, 8),
        PredictorSettings(hidden=8, mlp=8, batch=4, grid=(1, 2, 4)),
    )  # fmt: skip
    monkeypatch.setattr(gpu_changes.Stack, "prediction", lambda _: torch.zeros(2) @ torch.zeros(3))
    table = gpu_changes.measure(stack)
    empty = gpu_changes.measure(None)
    assert table.drop("value").equals(empty.drop("value")) and set(empty["value"]) == {"not measured"}
    assert len(compiled) == 1
    measured = table.filter(pl.col("what").is_in(["denoiser evaluations", "decoding", "training the predictor"]))
    assert (measured["value"].cast(pl.Float64) > 0).all()
    assert table["value"][-1].startswith("fails: ")


def test_the_matrix_rate_is_a_rate():
    assert sd2_gpu.matrix_rate(torch.device("cpu"), size=128, repeats=2) > 0


def test_a_pair_on_the_device_asked_for_is_named_after_it_and_the_others_after_the_cpu(tmp_path, monkeypatch):
    asked = []

    def drawn(device: torch.device) -> dict:
        asked.append(device)
        return {"what": "drawn", **suite.side_by_side(dict, dict, repeats=1, device=device)}

    def counted() -> dict:
        return {"what": "counted", **suite.side_by_side(dict, dict, repeats=1)}

    monkeypatch.setattr(suite, "ON_DEVICE", (drawn,))
    monkeypatch.setattr(suite, "ON_CPU", (counted,))
    pairs = suite.run(tmp_path, torch.device("meta"))
    assert asked == [torch.device("meta")]
    assert pairs["device"].to_list() == ["meta", device_name(torch.device("cpu"))]
