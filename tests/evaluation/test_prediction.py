import numpy as np
import polars as pl
import pytest
import torch

from bfkit.evaluation import metric_quality, prediction
from bfkit.metrics.registry import METRICS
from bfkit.models.clip import retrieval
from bfkit.profiles import PROFILES, PredictorSettings


def test_retrieval_counts_the_rows_whose_own_text_is_nearest_within_its_block():
    texts = torch.eye(8)
    pictures = texts.clone()
    pictures[1], pictures[5] = texts[0], texts[6]  # two wrong ones, the second within its own block of four
    assert retrieval(pictures, texts, among=4) == pytest.approx(6 / 8)
    # a neighbour in another block does not compete
    pictures[5] = 0.9 * texts[5] + texts[0]
    assert retrieval(pictures, texts, among=4) == pytest.approx(7 / 8)


def test_retrieval_refuses_fewer_pictures_than_it_chooses_among():
    with pytest.raises(ValueError, match="3 pictures are fewer than 32"):
        retrieval(torch.eye(3), torch.eye(3))


def test_spread_gives_mean_and_quartiles_at_each_step_count():
    frame = pl.DataFrame({"steps": [1] * 5 + [2] * 5, "d_sim": [0.0, 0.1, 0.2, 0.3, 0.9, *[0.5] * 5]})
    row = metric_quality.spread(frame, ["d_sim"]).filter(steps=1).row(0, named=True)
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((0.3, 0.1, 0.3))


def test_monotonicity_tells_falling_rising_and_wandering_apart():
    steps = [1, 2, 3, 5, 9]
    frame = pl.DataFrame(
        {"prompt": ["a"] * 5, "steps": steps, "falls": [9, 7, 5, 2, 1], "rises": steps, "wanders": [1, 3, 2, 3, 1]}
    )
    rho = dict(
        metric_quality.monotonicity(frame, ["falls", "rises", "wanders"]).select("metric", "mean curve").iter_rows()
    )
    assert rho["falls"] == pytest.approx(-1) and rho["rises"] == pytest.approx(1)
    assert abs(rho["wanders"]) < 0.5


def compared(**gains: tuple[float, float]) -> pl.DataFrame:
    """Errors of the BiLSTM and of two baselines, by how much lower the BiLSTM's are (low, high) on each metric."""
    rows = [
        {"metric": metric, "model": model, "gain_low": low, "gain_high": high}
        for metric in METRICS
        for model, (low, high) in {"BiLSTM": (0.0, 0.0), **gains}.items()
    ]
    return pl.DataFrame(rows).with_columns(pl.col("model").str.replace("_", " "))


@pytest.mark.parametrize(
    ("nearest", "mean", "sentence"),
    [
        ((0.1, 0.2), (0.01, 0.2), "The BiLSTM beats both baselines on every metric"),
        ((0.1, 0.2), (-0.01, 0.2), "The BiLSTM cannot be told from the mean curve on every metric"),
        ((-0.2, -0.1), (0.1, 0.2), "The BiLSTM loses to the nearest prompt on every metric"),
    ],
)
def test_the_verdict_says_who_surely_won(nearest, mean, sentence):
    errors = compared(nearest_prompt=nearest, mean_curve=mean)
    assert prediction.prediction_finding(errors) == sentence
    better = errors.with_columns(gain_low=pl.when(metric="l_snr").then(0.1).otherwise("gain_low"),
                                 gain_high=pl.when(metric="l_snr").then(0.2).otherwise("gain_high"))  # fmt: skip
    assert "beats both baselines on " in prediction.prediction_finding(better)


def test_where_the_error_sits_is_said_only_where_it_surely_does():
    steps = [1, 3, 9, 33]
    rows = [("l_snr", s, 0.5 if s < 9 else 0.1, 0.01) for s in steps]  # early
    rows += [("d_sim", s, 0.1 if s < 9 else 0.5, 0.01) for s in steps]  # late
    rows += [("i_clip", s, 0.5 if s < 9 else 0.1, 0.2) for s in steps]  # early, but for all that can be told
    frame = pl.DataFrame(rows, schema=["metric", "steps", "error", "spread"], orient="row")
    assert prediction.errors_by_step_finding(frame) == (
        "The error sits below 9 steps on L-SNR, at 9 and more on D-SIM; on I-CLIP no side stands out"
    )
    unsure = frame.with_columns(spread=pl.lit(0.3))
    assert prediction.errors_by_step_finding(unsure).endswith("below 9 steps or above cannot be told")


def test_a_network_that_finds_no_plateaus_is_not_said_to_find_them():
    true = np.arange(40)
    shuffled = np.random.default_rng(0).permutation(true)
    found, lost = (
        prediction.synthetic_finding(pl.DataFrame({"true": true, "predicted": other})) for other in (true, shuffled)
    )
    assert "the plateau is found: rank correlation 1.00" in found
    assert "the plateau is surely not well found" in lost


def test_nine_tenths_of_the_way_are_where_they_were_planted():
    steps = (1, 2, 5, 9, 33)
    fast, slow = (1.0, 0.5, 0.05, 0.02, 0.0), (1.0, 0.9, 0.8, 0.2, 0.0)

    def table(shapes) -> pl.DataFrame:
        rows = [(n, f"{n}", 0, s, v, v, 1 - v) for n, own in enumerate(shapes) for s, v in zip(steps, own, strict=True)]
        names = ["prompt_id", "prompt", "seed", "steps", "l_snr", "d_sim", "i_clip"]
        return pl.DataFrame(rows, schema=names, orient="row")

    assert metric_quality.ripening(table([fast] * 9)).select("steps", "low", "high").unique().rows() == [(5, 5, 5)]
    found = metric_quality.ripening(table([slow] * 9))
    assert found["steps"].unique().to_list() == [33]
    mixed = metric_quality.ripening(table([fast] * 9 + [slow] * 4))
    assert (mixed["low"] < mixed["high"]).all() and "9 steps on L-SNR (9 to 33)" in metric_quality.ripening_finding(
        mixed
    )


def test_what_the_paper_says_stands_beside_what_is_done_here():
    here = prediction.paper_and_here(PROFILES["mini"].predictor)
    told = {row["what"]: (row["paper"], row["here"]) for row in here.iter_rows(named=True)}
    assert told["hidden features"] == ("512", "128")
    assert told["steps that the LSTM passes"] == ("all 129, interpolated", "the 12 drawn")
    plain = prediction.paper_and_here(PredictorSettings(plain=True))
    same = {"hidden features", "layers of the LSTM", "output", "loss", "rate", "epochs, I-CLIP", "predicted curves"}
    assert all(row["paper"] == row["here"] for row in plain.iter_rows(named=True) if row["what"] in same)
