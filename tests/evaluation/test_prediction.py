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


@pytest.mark.parametrize(
    ("winner", "sentence"),
    [("BiLSTM", "on every metric"), ("mean curve", "does not beat the baselines on any")],
)
def test_the_verdict_says_who_won(winner, sentence):
    rows = [
        {"metric": metric, "model": model, "error": 0.1 if model == winner else 0.2}
        for metric in ("l_snr", "d_sim", "i_clip")
        for model in ("BiLSTM", "nearest prompt", "mean curve")
    ]
    assert sentence in prediction.prediction_finding(pl.DataFrame(rows))
    rows[0]["error"] = 0.05  # now the BiLSTM wins L-SNR at least
    if winner != "BiLSTM":
        assert prediction.prediction_finding(pl.DataFrame(rows)) == "The BiLSTM beats both baselines on L-SNR only"


def test_what_the_paper_says_stands_beside_what_is_done_here():
    here = prediction.paper_and_here(PROFILES["mini"].predictor)
    told = {row["what"]: (row["paper"], row["here"]) for row in here.iter_rows(named=True)}
    assert told["hidden features"] == ("512", "128")
    assert told["steps that the LSTM passes"] == ("all 129, interpolated", "the 12 drawn")
    plain = prediction.paper_and_here(PredictorSettings(plain=True))
    same = {"hidden features", "layers of the LSTM", "output", "loss", "rate", "epochs, I-CLIP", "predicted curves"}
    assert all(row["paper"] == row["here"] for row in plain.iter_rows(named=True) if row["what"] in same)


def test_predicted_and_measured_steps_agree_as_they_were_made_to():
    lot = np.random.default_rng(0)
    measured = lot.normal(20, 5, (80, 4))
    predicted = 0.6 * measured + 0.8 * lot.normal(0, 5, (80, 4))
    frames = [pl.DataFrame(rows, schema=[*METRICS, "steps"]) for rows in (predicted, measured)]
    ceilings = pl.DataFrame({"quantity": "plateau", "metric": [*METRICS, "all"], "ceiling": [0.9, 0.8, 0.7, 0.65]})
    found = prediction.t_star_agreement(*frames, ceilings, draws=500)
    expected = [np.corrcoef(predicted[:, i], measured[:, i])[0, 1] for i in range(4)]
    np.testing.assert_allclose(found["correlation"], expected)
    assert (found["low"] < found["correlation"]).all() and (found["correlation"] < found["high"]).all()
    said = prediction.agreement_finding(found)
    assert "tells a prompt's t*" in said and said.endswith("of at most 0.65")
    nothing = [frames[0], frames[1].sample(fraction=1, shuffle=True, seed=1)]
    assert "does not surely tell" in prediction.agreement_finding(prediction.t_star_agreement(*nothing, ceilings, 500))
