"""What the page says first follows the intervals, whichever way they fall."""

import polars as pl
import pytest

from bfkit.evaluation import findings
from bfkit.metrics.registry import METRICS


def relative(*ends: tuple[float, float]) -> pl.DataFrame:
    rows = [(name, (low + high) / 2, low, high) for name, (low, high) in zip(METRICS, ends, strict=True)]
    return pl.DataFrame(rows, schema=["metric", "mean", "low", "high"], orient="row")


ABOVE, BELOW, ACROSS = (0.01, 0.03), (-0.03, -0.01), (-0.01, 0.01)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((ABOVE, ABOVE, ABOVE), "beats dealing them out evenly on L-SNR, D-SIM and I-CLIP: quality gained L-SNR +2.0%"),
        ((BELOW, ACROSS, ACROSS), "does worse than dealing them out evenly on L-SNR: quality"),
        ((ABOVE, BELOW, ACROSS), "beats dealing them out evenly on L-SNR and does worse on D-SIM: quality"),
        ((ACROSS, ACROSS, ACROSS), "cannot be told from dealing them out evenly: quality"),
    ],
)  # fmt: skip
def test_the_rule_wins_loses_or_cannot_be_told_from_uniform(ends, said):
    sentence = findings.rule(relative(*ends), 16.66)
    assert said in sentence and sentence.startswith("The paper's rule spends 16.7 steps a picture instead of 65, and ")
    assert sentence.endswith("(the paper, with Stable Diffusion 2: +6.6%, +8.4%, +8.7%).")


@pytest.mark.parametrize(
    ("ends", "rho", "found", "more"),
    [
        ((0.2, 0.5), (0.3, 0.1, 0.5), "agrees with", "more steps"),
        ((-0.5, -0.2), (-0.3, -0.5, -0.1), "runs against", "fewer steps"),
        ((-0.2, 0.3), (0.0, -0.1, 0.1), "shows no sure tie to", "no surely different steps"),
    ],
)
def test_words_tell_t_star_or_do_not(ends, rho, found, more):
    rows = {
        "metric": ["d_sim", "all"],
        "correlation": [0.9, sum(ends) / 2],
        "low": [0.8, ends[0]],
        "high": [0.99, ends[1]],
    }
    sentence = findings.predictor(pl.DataFrame({**rows, "ceiling": [0.95, 0.48]}), 61, rho)
    assert f"predicted t* {found} the measured one" in sentence and f"busier scenes get {more}" in sentence
    assert "allows 0.48" in sentence and "61 prompts" in sentence


def gains(**systems: tuple[float, float]) -> pl.DataFrame:
    """A system's gain in quality by its interval; what it leaves of UNIFORM's distance is 1 less ten times that."""
    rows = []
    for name, (low, high) in systems.items():
        times = [1 - 10 * end for end in ((low + high) / 2, high, low)]
        rows.append((name, "d_sim_plain", low, high, *times))
    names = ["system", "metric", "low", "high", "times", "times_low", "times_high"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_the_nearest_system_is_the_one_that_leaves_least_and_only_if_it_is_sure():
    table = gains(REFERENCE=(0.08, 0.09), UNIFORM=(0, 0), OURS=ACROSS, UniPC=(0.05, 0.07), DDIM=ABOVE, ToMe=BELOW)
    assert findings.systems(table) == (
        "At the same cost 2 of 3 other ways to draw surely come nearer to the finished picture than UNIFORM, and UniPC "
        "leaves only 40% [30, 50] of its distance; the paper's rule cannot be told from it."
    )
    assert findings.systems(gains(UNIFORM=(0, 0), OURS=BELOW, UniPC=ACROSS)) == (
        "At the same cost none of 1 other ways to draw surely come nearer to the finished picture than UNIFORM; the "
        "paper's rule stays farther off."
    )


def test_what_the_prompt_decides_and_what_can_be_known_come_with_their_intervals():
    shares = pl.DataFrame({"metric": ["d_sim"], "scale": ["log loss"], "steps": [17], "share": [0.163], "low": [0.11],
                           "high": [0.22]}, schema_overrides={"steps": pl.UInt16})  # fmt: skip
    ceilings = pl.DataFrame({"budget": [17.0] * 2, "knows": ["prompt", "picture"], "how": ["power law"] * 2,
                             "saved": [0.09, 0.5], "low": [0.05, 0.4], "high": [0.12, 0.6]})  # fmt: skip
    sentence = findings.prompt(shares, ceilings, 17)
    assert (
        "a prompt decides 16% [11, 22]" in sentence and "can save 9% [5, 12]" in sentence and "50% [40, 60]" in sentence
    )
    rows = [("the prompt", 0.04, 0.01, 0.08), ("the first look", -0.01, -0.05, 0.03), ("hindsight", 0.73, 0.7, 0.76)]
    known = pl.DataFrame(rows, schema=["knows", "saved", "low", "high"], orient="row").with_columns(budget=17.0)
    assert findings.beyond(known, 17) == (
        "What can be known saves, of UNIFORM's loss at 17 evaluations: the prompt 4% [1, 8], the first look -1% "
        "[-5, 3]; hindsight would save 73% [70, 76]."
    )
