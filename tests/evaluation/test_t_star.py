"""Predicted beside measured t*: what is said of it is what was planted, or that it cannot be told."""

import numpy as np
import polars as pl
import pytest

from bfkit import stats
from bfkit.dataset import captions
from bfkit.evaluation import t_star
from bfkit.metrics.registry import METRICS

LOT = np.random.default_rng(0)


def frames(*columns: np.ndarray) -> dict[str, pl.DataFrame]:
    texts = [f"prompt {'word ' * n}" for n in range(len(columns[0]))]
    return {name: pl.DataFrame({"prompt": texts, "steps": own}) for name, own in zip(("predicted", "measured"), columns,
                                                                                    strict=True)}  # fmt: skip


# --- agreement ------------------------------------------------------------------------------------------------------


def agreed(share: float, ceiling: tuple[float, float, float] = (0.65, 0.6, 0.7)) -> pl.DataFrame:
    measured = LOT.normal(20, 5, (200, 4))
    predicted = share * measured + (1 - share**2) ** 0.5 * LOT.normal(0, 5, (200, 4))
    pair = [pl.DataFrame(rows, schema=[*METRICS, "steps"]) for rows in (predicted, measured)]
    names = ("ceiling", "ceiling_low", "ceiling_high")
    ends = {name: [value] * 4 for name, value in zip(names, ceiling, strict=True)}
    ceilings = pl.DataFrame({"quantity": "plateau", "metric": [*METRICS, "all"], **ends})
    found = t_star.t_star_agreement(*pair, ceilings, draws=500)
    expected = [np.corrcoef(predicted[:, i], measured[:, i])[0, 1] for i in range(4)]
    np.testing.assert_allclose(found["correlation"], expected)
    return found


def test_predicted_and_measured_steps_agree_as_they_were_made_to():
    found = agreed(0.6)
    assert (found["low"] < found["correlation"]).all() and (found["correlation"] < found["high"]).all()
    said = t_star.agreement_finding(found)
    assert "tells a prompt's t*" in said and said.endswith("of at most 0.65 (0.60 to 0.70)")
    assert "does not surely tell" in t_star.agreement_finding(agreed(0.0))


def test_chance_is_blamed_unless_the_intervals_lie_apart():
    assert "cannot be told from chance" in t_star.missing_finding(agreed(0.6))
    alone = agreed(0.0)
    said = t_star.missing_finding(alone)
    assert said.startswith("On L-SNR, D-SIM, I-CLIP and t* chance does not explain the rest")
    unsure = t_star.missing_finding(agreed(0.3, ceiling=(0.65, 0.2, 0.9)))
    assert "cannot be told from chance" in unsure, "a ceiling of which little is known blames nobody"


# --- spread and busyness --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("times", "verdict"), [(0.3, "less than"), (3.0, "more than"), (1.0, "as far, for all that")])
def test_spreads_are_compared_as_far_as_they_can_be_told_apart(times, verdict):
    one, other = LOT.normal(20, 5, 120), LOT.normal(20, 5, 120)
    said = t_star.spread_finding(frames(20 + times * (one - 20), other))
    assert said.startswith(f"Predicted t* spread {verdict}") and f"{other.std():.1f}" in said


@pytest.mark.parametrize(
    ("slope", "verdict"), [(1, "more steps"), (-1, "fewer steps"), (0, "neither surely more nor surely fewer steps")]
)
def test_busier_scenes_get_what_the_table_says(slope, verdict):
    busy = np.arange(80)
    points = t_star.points(frames(slope * busy + LOT.normal(0, 20, 80).round() + 200, LOT.integers(5, 60, 80)))
    assert points["busyness"].to_list() == [n + 1 for n in busy], "of captions that no world knows, the words count"
    found = t_star.busyness_correlations(points)
    rho = stats.spearman(points["busyness"], points["predicted"])
    assert found.filter(source="predicted")["rho"].item() == pytest.approx(rho)
    said = t_star.busyness_finding(found)
    assert said.startswith(f"Busier scenes get {verdict} by predicted curves (rank correlation {rho:+.2f}")


def test_the_ends_are_the_least_and_the_most_busy_by_the_worlds_own_measure():
    texts = list(captions.mini_captions(50))
    values = dict(zip(texts, captions.busyness(texts)[1], strict=True))
    assert [values[text] for text in t_star.ends(texts)] == [min(values.values()), max(values.values())]
    assert t_star.ends(["two words", "one", "three whole words"]) == ["one", "three whole words"]
