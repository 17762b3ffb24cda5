"""A promise holds as often as it says, costs what it must, and is refused where it cannot be given."""

import functools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import read_scores, split_by_prompt
from bfkit.evaluation import promise
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.promise import Promise, Terms, load_promise, save_promise
from bfkit.predictor.rules import loss
from bfkit.profiles import PROFILES

STEPS = np.arange(1, 66)


def planted(count: int, seed: int, noise: float = 0.3) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Measured curves of prompts that ripen at rates of their own, and what an imperfect predictor reads of them."""
    lot = np.random.default_rng(seed)
    rate = np.exp(lot.normal(1.5, 0.7, (count, 1)))
    wrong = rate * np.exp(noise * lot.standard_normal((count, 1)))
    return tuple({"d_sim": 0.5 * np.exp(-(STEPS - 1) / each)} for each in (rate, wrong))


def test_the_sequence_stops_at_the_first_setting_that_fails():
    # of 50 prompts at alpha .1, delta .1: one violation passes, two do not
    assert binom.cdf(1, 50, 0.1) <= 0.1 < binom.cdf(2, 50, 0.1)
    assert promise.last_that_passes([0, 1, 0, 2, 0], 50, Terms()) == 2, "what comes after a failure does not count"
    assert promise.last_that_passes([0, 0], 50, Terms()) == 1
    assert promise.last_that_passes([5], 50, Terms()) == -1


@pytest.mark.parametrize(("alpha", "delta"), [(0.1, 0.1), (0.05, 0.05), (0.2, 0.01)])
def test_the_least_number_of_prompts_is_the_first_at_which_no_violation_passes(alpha, delta):
    least = promise.least_prompts(Terms(alpha=alpha, delta=delta))
    assert binom.cdf(0, least, alpha) <= delta < binom.cdf(0, least - 1, alpha)


@pytest.mark.parametrize("rule", ["constant", "threshold", "price", "plateau"])
def test_promises_hold_at_least_as_often_as_they_say(rule):
    """Against what is true of all prompts there are: 4,000 of them, 60 to calibrate on, 100 times."""
    alpha = delta = 0.15
    truth, read = planted(4000, seed=1)
    knobs = promise.settings_of(rule, planted(200, seed=2)[1])
    lost, lot, kept = loss(truth), np.random.default_rng(3), 0
    for _ in range(100):
        mine = lot.choice(4000, 60, replace=False)
        sample = [{name: values[mine] for name, values in each.items()} for each in (read, truth)]
        given = promise.calibrate(rule, knobs, *sample, Terms(0.02, alpha, delta))
        steps = promise.steps_by(given.rule, given.knob, read)
        kept += (lost[np.arange(4000), steps - 1] > 0.02).mean() <= alpha
    assert kept >= 100 * (1 - delta) - 3 * math.sqrt(100 * delta * (1 - delta))


def test_a_rule_that_reads_the_truth_promises_the_same_for_fewer_steps_than_the_constant():
    truth, _ = planted(120, seed=4)
    typical = planted(200, seed=5, noise=0)[0]
    knobs = {rule: promise.settings_of(rule, typical) for rule in ("constant", "threshold")}
    found = {rule: promise.calibrate(rule, knobs[rule], truth, truth, Terms()) for rule in knobs}
    assert found["threshold"].mean_steps < 0.7 * found["constant"].mean_steps
    constant = found["constant"]
    late = (loss(truth)[:, int(constant.knob) - 2] > 0.02).sum()
    assert promise.last_that_passes([late], 120, Terms()) == -1, "one step less could not be promised"


def test_coverage_looks_at_the_half_that_was_not_calibrated_on():
    truth, read = planted(160, seed=6)
    knobs = promise.settings_of("threshold", planted(100, seed=7)[1])
    rows = promise.coverage("threshold", knobs, read, truth, Terms(), splits=30)
    assert len(rows) == 30 and rows["mean_steps"].n_unique() > 5
    assert (rows["kept"] == (rows["broken"] <= 0.1)).all()
    assert rows["broken"].mean() < 0.1
    useless = promise.coverage("threshold", [0.0], truth, truth, Terms(0.0), splits=3)
    assert useless["broken"].sum() == 0, "no loss at all: the threshold reads the truth"


def test_a_promise_says_what_it_is():
    given = Promise("constant", 22, Terms(0.02, 0.1, 0.05), 22.0, 80)
    assert str(given) == (
        "With 22 steps for all, 22.0 on average, at least 90% of prompts lose at most 0.02 of the mean quality, at 95% "
        "confidence (80 prompts)"
    )
    assert str(replace(given, rule="price", knob=0.001234)).startswith("With price at 0.001234, 22.0 on average")


@pytest.mark.parametrize(
    ("count", "options", "words"),
    [
        (21, {}, "21 prompts to calibrate on are too few .* measure 22 or more"),
        (58, {"alpha": 0.05, "delta": 0.05}, "measure 59 or more"),
        (30, {"alpha": 0.0}, "alpha is a share between 0 and 1; got 0"),
        (30, {"delta": float("nan")}, "delta is a share between 0 and 1; got nan"),
        (30, {"epsilon": -1}, "epsilon is a loss from 0 to 1; got -1"),
    ],
)
def test_a_promise_that_cannot_be_given_is_refused_with_a_sentence(count, options, words):
    truth, read = planted(count, seed=8)
    with pytest.raises(ValueError, match=words):
        promise.calibrate("constant", [9.0], read, truth, Terms(**options))


def test_an_unknown_rule_is_named_beside_the_known_ones():
    with pytest.raises(ValueError, match="unknown rule 'luck': choose from constant, plateau, threshold, price"):
        promise.settings_of("luck", planted(5, seed=9)[0])


def test_a_promise_lies_beside_the_advisor_and_a_damaged_one_is_named(tmp_path):
    given = Promise("price", 0.00123, Terms(0.03, 0.2, 0.05), 14.5, 61)
    assert load_promise(tmp_path) is None
    save_promise(given, tmp_path)
    assert load_promise(tmp_path) == given
    (tmp_path / "promise.json").write_text('{"rule": "price"}')
    with pytest.raises(ValueError, match=r"promise\.json is damaged"):
        load_promise(tmp_path)


def test_the_finding_says_surely_fewer_only_where_nearly_all_halves_agree():
    kept = pl.DataFrame(
        [("constant", 33.0, None), ("price", 20.0, 0.99), ("threshold", 32.0, 0.6), ("plateau", 50.0, None)],
        schema=["rule", "steps", "fewer"], orient="row",
    )  # fmt: skip
    said = promise.promises_finding(kept)
    assert said.startswith("One count for all promises it with 33 steps; price takes 20.0, surely fewer (fewer in 99%")
    assert "threshold takes 32.0, not surely fewer (fewer in 60% of the random halves)" in said
    assert "plateau takes 50.0, not surely fewer (too few prompts to say how surely)" in said


@pytest.mark.slow
def test_promises_are_set_beside_the_constants_on_the_same_halves(monkeypatch):
    table, terms = read_scores(Path(PROFILES["mini"].scores)), Terms(epsilon=0.05, alpha=0.2, delta=0.2)
    advisor = StepAdvisor.from_pretrained("mini")
    few = functools.partial(promise.coverage, splits=4)
    monkeypatch.setattr(promise, "coverage", few)
    found, kept = promise.promises(advisor, table, terms)
    assert kept["rule"].to_list() == list(found) and kept["fewer"][0] is None
    texts, measured = dense_curves(split_by_prompt(table)[1])
    read, typical = advisor.dense(texts), advisor.dense(list(advisor.examples))
    even, price = (few(rule, promise.settings_of(rule, typical), read, measured, terms)["mean_steps"]
                   for rule in ("constant", "price"))  # fmt: skip
    assert kept.filter(rule="price")["fewer"].item() == (price < even).mean()
