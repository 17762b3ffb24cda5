"""Rules against each other: equal totals in every row, planted winners, and metrics left out."""

import numpy as np
import polars as pl
import pytest
from curves import drawn_curves, falling_curves

from bfkit import paper, stats
from bfkit.evaluation import metric_subsets, rule_comparison
from bfkit.predictor import rules

BUDGETS = (9, 20.5)


def two_kinds(noise: float, seed: int = 0) -> dict[str, np.ndarray]:
    """Sixty prompts, faint and quick or strong and slow, as a predictor with some noise might see them."""
    rng = np.random.default_rng(seed)
    strong = np.tile([False, True], 30)[:, None]
    height, rate = np.where(strong, 0.6, 0.1), np.where(strong, 12.0, 6.0)
    falling = (height + noise * rng.normal(size=(60, 1))) * np.exp(-np.arange(129) / rate)
    return {"l_snr": falling / 3, "d_sim": falling, "i_clip": 1 - falling / 2}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    measured = two_kinds(0.0)
    return rule_comparison.compare_rules(measured, {"predicted": two_kinds(0.02), "measured": measured}, BUDGETS)


def test_the_worst_decile_is_the_mean_of_the_highest_tenth():
    values = np.random.default_rng(0).permutation(np.arange(40.0))
    assert rule_comparison.worst_decile(values) == (36 + 37 + 38 + 39) / 4
    assert rule_comparison.worst_decile(np.array([3.0, 1, 2])) == 3
    assert rule_comparison.worst_decile(np.stack([values, -values])).tolist() == [37.5, -1.5]


def test_every_rule_source_and_metric_has_a_row_at_every_budget_and_all_cost_the_same(frame):
    assert len(frame) == 2 * 2 * 4 * 4
    assert set(frame["rule"]) == {known.label for known in rules.RULES.values()}
    for (budget,), part in frame.group_by("budget"):
        assert part["steps"].to_list() == pytest.approx([round(60 * budget) / 60] * len(part))


def test_a_row_is_what_the_definitions_give(frame):
    measured, predicted = two_kinds(0.0), two_kinds(0.02)
    steps = rules.at_mean_cost("price", predicted, 9)
    lost = rules.at_steps(measured["d_sim"] - measured["d_sim"][:, -1:], steps)
    uniform = measured["d_sim"][:, 8] - measured["d_sim"][:, -1]
    row = frame.row(
        by_predicate=(pl.col("budget") == 9)
        & (pl.col("curves") == "predicted")
        & (pl.col("rule") == rules.RULES["price"].label)
        & (pl.col("metric") == "d_sim"),
        named=True,
    )
    assert row["loss"] == pytest.approx(lost.mean())
    assert row["saved"] == pytest.approx(uniform.mean() - lost.mean())
    assert row["worst"] == pytest.approx(np.sort(lost)[-6:].mean())
    assert row["under"] == pytest.approx(np.mean(lost <= rule_comparison.TOLERABLE_LOSS))
    goal = rules.at_mean_cost("price", measured, 9)
    assert row["regret"] == pytest.approx(np.abs(steps - goal).mean())
    for name in ("loss", "worst", "under", "saved"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_uniform_saves_nothing_and_the_measured_curves_regret_nothing(frame):
    uniform = frame.filter(rule=rules.RULES["uniform"].label)
    assert uniform["saved"].abs().max() == 0 and uniform["wilcoxon"].unique().to_list() == [1]
    assert frame.filter(curves="measured")["regret"].max() == 0


def test_nothing_loses_less_than_the_price_on_the_measured_curves(frame):
    assert frame["above_best"].min() >= -1e-12
    best = frame.filter(pl.col("rule") == rules.RULES["price"].label, curves="measured")
    assert best["above_best"].abs().max() == 0


def test_rules_that_read_height_win_where_height_tells_and_the_verdict_says_so(frame):
    rows = frame.filter(metric="all", curves="predicted", budget=9.0).select("rule", "saved_low", "worst")
    saved, worst = (
        {rule: row for rule, *row in rows.iter_rows()}[rules.RULES[name].label] for name in ("price", "uniform")
    )
    assert saved[0] > 0 and saved[1] < worst[1]
    sentence = rule_comparison.rules_finding(frame)
    assert sentence.startswith("On predicted curves UNIFORM is beaten by") and "price at 9 and 20.5 steps" in sentence


def test_where_all_prompts_are_alike_nothing_beats_uniform():
    one = falling_curves(1)
    alike = {name: np.repeat(values, 30, axis=0) for name, values in one.items()}
    frame = rule_comparison.compare_rules(alike, {"predicted": drawn_curves(30)}, (20,))
    assert "no rule surely beats UNIFORM" in rule_comparison.rules_finding(frame)


def test_other_prompts_curves_are_refused():
    with pytest.raises(ValueError, match="for 30 prompts: compare the same prompts"):
        rule_comparison.compare_rules(drawn_curves(30), {"predicted": drawn_curves(29)}, (20,))


# --- metrics left out ------------------------------------------------------------------------------------------------


def test_the_sets_are_all_each_left_out_and_each_alone():
    sets = metric_subsets.metric_sets(paper.METRICS)
    assert list(sets) == ["all", "without L-SNR", "without D-SIM", "without I-CLIP",
                          "L-SNR alone", "D-SIM alone", "I-CLIP alone"]  # fmt: skip
    assert sets["without D-SIM"] == ["l_snr", "i_clip"] and sets["I-CLIP alone"] == ["i_clip"]


def test_the_ablation_has_each_sets_own_cost_and_the_equal_one():
    measured, predicted = drawn_curves(40), falling_curves(40)
    frame = metric_subsets.compare_subsets(measured, predicted)
    assert frame.group_by("cost").len()["len"].to_list() == [7, 7]
    full = rules.steps_by_plateau(predicted)
    assert frame.filter(cost="equal")["steps"].to_list() == pytest.approx([full.mean()] * 7)
    own = frame.filter(cost="own")
    alone = rules.steps_by_plateau({"d_sim": predicted["d_sim"]})
    row = own.row(by_predicate=pl.col("metrics") == "D-SIM alone", named=True)
    assert (row["steps"], row["spread"]) == (pytest.approx(alone.mean()), pytest.approx(alone.std()))
    assert row["decides"] == np.mean(alone == full)
    lost = rules.at_steps(rules.loss(measured), alone)
    uniform = rules.at_steps(rules.loss(measured), rules.steps_by_uniform(measured, alone.mean()))
    assert (row["all"], row["saved"]) == (pytest.approx(lost.mean()), pytest.approx((uniform - lost).mean()))
    # t* is the last of the plateaus: leaving one out never asks for more steps, and some metric always decides
    assert (own["steps"] <= own["steps"][0]).all()
    assert own["decides"].sum() >= 1
    assert own["agreement"][0] == pytest.approx(1)


def test_an_ablation_of_a_single_metric_is_refused():
    one = {"d_sim": drawn_curves(5)["d_sim"]}
    with pytest.raises(ValueError, match="only d_sim was measured: an ablation needs two metrics"):
        metric_subsets.compare_subsets(one, one)


def test_the_accuracy_of_t_star_is_against_the_measured_one_and_each_metric_has_its_part_in_it():
    """D-SIM alone decides t* and is predicted well; L-SNR is predicted late and at random; I-CLIP is flat."""
    rng = np.random.default_rng(5)
    rates = np.exp(rng.normal(size=(60, 1)))
    falling = np.exp(-np.arange(129) / (5 * rates))
    flat, early = np.full((60, 129), 0.5), np.exp(-3.0 * np.arange(129)) * np.ones((60, 1))
    late = np.exp(-np.arange(129) / (8 * rng.permutation(rates)))
    measured = {"l_snr": early, "d_sim": falling, "i_clip": flat}
    frame = metric_subsets.subset_accuracy(measured, {**measured, "l_snr": late})
    rows = {row["metrics"]: row for row in frame.iter_rows(named=True)}
    goal, own = rules.steps_by_plateau(measured), rules.steps_by_plateau({"l_snr": late, "d_sim": falling})
    whole, best = rows["all"], rows["D-SIM alone"]
    assert whole["correlation"] == pytest.approx(stats.spearman(own, goal))
    assert (whole["part"], whole["part_low"], whole["measured"]) == (0, 0, 1)
    assert (best["correlation"], best["exact"], best["near"]) == (pytest.approx(1), 1, 1)
    assert 0 < whole["exact"] < whole["near"] < 1 and whole["near_low"] < whole["near"] < whole["near_high"]
    assert whole["low"] < whole["correlation"] < whole["high"]
    assert rows["without D-SIM"]["part_low"] > 0 > rows["without L-SNR"]["part_high"]
    assert rows["without I-CLIP"]["part"] == rows["without I-CLIP"]["part_high"] == 0
    assert rows["I-CLIP alone"]["correlation"] == rows["I-CLIP alone"]["measured"] == 0, "always a single step"
    said = metric_subsets.subset_accuracy_finding(frame)
    assert said.endswith("within a quarter; it rests on D-SIM and would be better without L-SNR")
    assert "t* go together, with" in said
    nobody = frame.with_columns(part_low=pl.lit(-1.0), part_high=pl.lit(1.0), low=pl.lit(-0.1))
    said = metric_subsets.subset_accuracy_finding(nobody)
    assert "t* do not surely go together, with" in said and said.endswith("it surely rests on no single metric")


@pytest.mark.parametrize(("count", "words"), [(1, "only d_sim was measured"), (3, "2 prompts are too few to rank")])
def test_accuracy_takes_two_metrics_and_three_prompts(count, words):
    curves = dict(list(drawn_curves(2).items())[:count]) if count > 1 else {"d_sim": drawn_curves(2)["d_sim"]}
    with pytest.raises(ValueError, match=words):
        metric_subsets.subset_accuracy(curves, curves)


def test_the_verdict_on_metrics_says_that_all_lose_and_which_is_surely_better_than_reading_all():
    def told(*rows: tuple) -> str:
        names = ["cost", "metrics", "low", "high", "more", "more_low"]
        return metric_subsets.subsets_finding(pl.DataFrame(rows, schema=names, orient="row"))

    lost = ("equal", "all", -0.03, -0.01, 0.0, 0.0)
    near = ("equal", "D-SIM alone", -0.02, -0.005, 0.01, 0.004)
    unsure = ("equal", "without L-SNR", -0.02, 0.01, 0.02, -0.001)
    own = ("own", "I-CLIP alone", 1.0, 2.0, 1.0, 1.0)
    assert told(lost, near, own) == (
        "Of 2 readings of Eq. 7, 0 beat UNIFORM and 2 lose to it; D-SIM alone beats reading all the metrics"
    )
    assert told(lost, unsure).endswith("0 beat UNIFORM and 1 lose to it; nothing surely beats reading all the metrics")
    assert told(("equal", "all", 0.1, 0.2, 0.0, 0.0)).startswith("Of 1 readings of Eq. 7, 1 beat UNIFORM")


def test_what_a_set_of_metrics_saves_more_than_all_is_paired():
    measured, predicted = drawn_curves(40), falling_curves(40)
    frame = metric_subsets.compare_subsets(measured, predicted).filter(cost="equal")
    assert frame.select("more", "more_low", "more_high").row(0) == (0, 0, 0)
    differences = frame["saved"] - frame["saved"][0]  # the same UNIFORM for all
    assert frame["more"].to_list() == pytest.approx(differences.to_list())


def test_the_front_has_the_even_deal_once_and_the_price_by_each_source_and_its_title_counts(frame):
    found = rule_comparison.front(frame)
    whole = frame.filter(metric="all")
    sources = whole["curves"].unique(maintain_order=True).to_list()
    assert found["who"].unique(maintain_order=True).to_list() == ["dealt evenly", *(f"by {s} curves" for s in sources)]
    price = whole.filter(rule=rules.RULES["price"].label, curves=sources[0])
    assert found.filter(who=f"by {sources[0]} curves")["value"].equals(price["loss"], check_names=False)
    won = int((price["saved_low"] > 0).sum())
    assert f"beats an even deal at {won} of {len(price)} totals" in rule_comparison.front_title(frame)
    beaten = frame.with_columns(saved_low=pl.lit(-2.0), saved_high=pl.lit(-1.0))
    assert rule_comparison.front_title(beaten).endswith(
        f"beats an even deal at 0 of {len(price)} totals, and loses at {len(price)}"
    )
