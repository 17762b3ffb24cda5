"""Oracles, regret and reliability where the right answer was planted."""

import itertools

import numpy as np
import polars as pl
import pytest
from curves import DRAWN, drawn_curves, falling_curves, score_table

from bfkit import paper
from bfkit.dataset.table import read_scores, split_by_prompt
from bfkit.evaluation import oracle, reliability
from bfkit.mini import world
from bfkit.predictor import rules
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import PROFILES


@pytest.fixture(scope="module")
def unequal() -> dict[str, np.ndarray]:
    """Half the prompts ripen at once and half slowly: much to gain on UNIFORM."""
    rate = np.tile([2.0, 30.0], 20)[:, None]
    return {"d_sim": 0.6 * np.exp(-np.arange(129) / rate)}


# --- coverage --------------------------------------------------------------------------------------------------------


def test_the_best_allocation_covers_the_whole_way_uniform_none_and_half_of_each_a_part(unequal):
    best = oracle.oracles(unequal, 20)["BEST"]
    uniform = rules.steps_by_uniform(unequal, 20)
    half = np.where(np.arange(40) < 20, best, uniform)
    half[-1] += best.sum() - half.sum()  # the same total
    covered = [
        oracle.coverage(ours, unequal).filter(oracle="BEST", metric="d_sim").row(0, named=True)
        for ours in (best, uniform, half)
    ]
    assert [row["covered"] for row in covered[:2]] == pytest.approx([1, 0])
    assert 0.3 < covered[2]["covered"] < 0.7
    assert covered[2]["low"] < covered[2]["covered"] < covered[2]["high"]


def test_who_spends_against_the_need_covers_less_than_nothing(unequal):
    against = np.tile([30, 10], 20)
    row = oracle.coverage(against, unequal).filter(oracle="BEST", metric="all").row(0, named=True)
    assert row["covered"] < -0.5 and row["note"] == ""


def test_there_is_no_share_of_a_way_where_the_oracle_is_not_better():
    one = falling_curves(1)
    alike = {name: np.repeat(values, 30, axis=0) for name, values in one.items()}
    frame = oracle.coverage(np.tile([10, 30], 15), alike)
    rows = frame.filter(oracle="ORACLE, equal cost")
    assert rows["covered"].null_count() == len(rows) == 4
    assert rows["note"].unique().to_list() == ["ORACLE, equal cost is not better than UNIFORM"]


def test_a_headroom_that_may_be_nothing_gives_no_share_either():
    curves = drawn_curves(12, seed=3)
    frame = oracle.coverage(rules.steps_by_plateau(curves), curves)
    unsure = frame.filter((pl.col("headroom") > 0) & (pl.col("headroom_low") <= 0))
    assert len(unsure) and unsure["covered"].null_count() == len(unsure)
    assert all("not surely better" in note for note in unsure["note"])


def test_the_oracles_spend_what_they_say(unequal):
    curves = drawn_curves(30)
    found = oracle.oracles(curves, 17.3)
    assert found["ORACLE"].tolist() == rules.steps_by_plateau(curves).tolist()
    assert found["ORACLE, equal cost"].sum() == found["BEST"].sum() == round(30 * 17.3)


# --- regret ----------------------------------------------------------------------------------------------------------


def test_regret_by_hand():
    goal = np.array([10, 20, 40, 8])
    frame = oracle.regret({"OURS": np.array([7, 25, 40, 9]), "UNIFORM": np.array([20, 20, 20, 21])}, goal)
    ours, uniform = frame.iter_rows(named=True)
    assert (ours["regret"], ours["bias"]) == ((3 + 5 + 0 + 1) / 4, (-3 + 5 + 0 + 1) / 4)
    assert (ours["under"], ours["over"]) == (0.25, 0.25)  # 7 < 8; 25 > 24; 9 is within a fifth of 8
    assert ours["correlation"] == pytest.approx(1 - 6 * 2 / (4 * 15))  # ranks 1 3 4 2 against 2 3 4 1
    assert (uniform["under"], uniform["over"], uniform["correlation"]) == (0.25, 0.5, None)
    deals = [np.abs(np.array(deal) - goal).mean() for deal in itertools.permutations([7, 25, 40, 9])]
    assert ours["dealt"] == pytest.approx(np.mean(deals))


def test_the_oracle_regrets_nothing_and_tolerance_decides_what_counts():
    goal = rules.steps_by_plateau(drawn_curves(30))
    row = oracle.regret({"ORACLE": goal}, goal).row(0, named=True)
    assert (row["regret"], row["under"], row["over"], row["correlation"]) == (0, 0, 0, pytest.approx(1))
    late = {"OURS": goal * 1.5}
    assert [oracle.regret(late, goal, tolerance)["over"][0] for tolerance in (0.4, 0.6)] == [1, 0]


def test_regret_of_other_prompts_is_refused():
    with pytest.raises(ValueError, match="OURS has 3 prompts, the oracle 4: compare the same prompts"):
        oracle.regret({"OURS": np.ones(3)}, np.ones(4))


# --- reliability -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_reliability_finds_the_share_that_was_planted(share):
    frame = reliability.reliability(score_table(share)).filter(quantity="loss")
    assert frame["steps"].unique().to_list() == list(DRAWN[:-1])
    single = frame.filter(pl.col("metric") != "all")
    # the mean over four seeds has a quarter of the seeds' variance
    expected = share / (share + (1 - share) / 4)
    assert single["reliability"].mean() == pytest.approx(expected, abs=0.06)
    assert single["halves"].mean() == pytest.approx(share / (share + (1 - share) / 2), abs=0.06)


def test_reliabilitys_intervals_cover_what_was_planted_and_their_width_is_that_of_the_luck():
    share = 0.3
    expected = share / (share + (1 - share) / 4)
    few, many = (
        reliability.reliability(score_table(share, prompts=n), draws=200).filter(
            pl.col("metric") != "all", quantity="loss"
        )
        for n in (60, 300)
    )
    for found in (few, many):
        assert ((found["low"] < expected) & (expected < found["high"])).mean() > 0.8
        assert np.allclose(found["ceiling_high"] ** 2, found["high"].clip(0))
    width = (few["high"] - few["low"]).mean() / (many["high"] - many["low"]).mean()
    assert width == pytest.approx(5**0.5, rel=0.35)


def test_what_a_prompt_decides_is_said_only_where_it_surely_does():
    titles = [reliability.reliability_title(reliability.reliability(score_table(s), draws=100)) for s in (0.0, 1.0)]
    assert titles[0].endswith("nowhere on L-SNR, nowhere on D-SIM, nowhere on I-CLIP")
    assert titles[1].endswith("up to 17 on L-SNR, up to 17 on D-SIM, up to 17 on I-CLIP")
    said = [reliability.ceiling_of_t_star(reliability.reliability(score_table(s), draws=100)) for s in (0.0, 1.0)]
    assert "cannot be told from chance" in said[0]
    assert "100% (100% to 100%) are the prompts'" in said[1] and "by 1.00 (1.00 to 1.00) at most" in said[1]


def test_one_seed_cannot_tell_the_prompt_from_the_seed():
    with pytest.raises(ValueError, match="the score table has one seed"):
        reliability.reliability(score_table(0.5, prompts=3, seeds=1))


def test_two_prompts_are_too_few_to_tell_from_their_seeds():
    with pytest.raises(ValueError, match=r"the score table has 2 prompts: .* takes three or more"):
        reliability.reliability(score_table(0.5, prompts=2))


# --- paraphrases -----------------------------------------------------------------------------------------------------


def test_paraphrases_are_several_captions_of_one_scene():
    frame = reliability.paraphrases(scenes=20, wordings=3)
    assert frame.group_by("scene").agg(pl.col("prompt").n_unique())["prompt"].to_list() == [3] * 20
    assert frame.equals(reliability.paraphrases(scenes=20, wordings=3))
    assert not any(world.unknown_words(prompt) for prompt in frame["prompt"])
    for _, prompts in frame.group_by("scene"):  # a scene with colours keeps some of them in all its wordings
        colors = [set(world.words(prompt)) & set(world.COLORS) for prompt in prompts["prompt"]]
        assert set.intersection(*colors) or not set.union(*colors)


def test_the_spread_within_and_between_scenes_is_what_was_planted():
    rng = np.random.default_rng(0)
    steps = rng.normal(30, 3, (600, 1)) + rng.normal(0, 6, (600, 4))
    prompts = pl.DataFrame({"scene": np.repeat(np.arange(600), 4), "prompt": [str(i) for i in range(2400)]})
    plan = pl.DataFrame({"prompt": prompts["prompt"], "d_sim": np.full(2400, 9), "steps": steps.ravel()})
    flat, t_star = reliability.paraphrase_spread(prompts, plan).iter_rows(named=True)
    assert (t_star["metric"], t_star["within"]) == ("t*", pytest.approx(6, rel=0.05))
    assert t_star["between"] == pytest.approx(3, rel=0.12)
    assert t_star["share"] == pytest.approx(9 / 45, abs=0.05)
    assert (flat["metric"], flat["within"], flat["between"], flat["share"]) == ("D-SIM", 0, 0, None)


def test_wordings_that_decide_t_star_are_not_said_to_follow_the_scene():
    rng, prompts = np.random.default_rng(0), pl.DataFrame({"scene": np.repeat(np.arange(80), 4)})
    prompts = prompts.with_columns(prompt=pl.int_range(320).cast(pl.String))

    def said(of_scene: float, of_wording: float) -> str:
        steps = 30 + of_scene * rng.normal(size=(80, 1)) + of_wording * rng.normal(size=(80, 4))
        chosen = pl.DataFrame({"prompt": prompts["prompt"], "steps": steps.ravel()})
        return reliability.paraphrase_finding(reliability.paraphrase_spread(prompts, chosen))

    assert said(9, 3).startswith("Of the differences in t*, most are the scene's")
    assert said(2, 6).startswith("Of the differences in t*, less than half are the scene's")
    assert said(0, 0) == "Every wording of every scene gets the same t*"


def test_the_order_of_the_prompts_does_not_matter_to_the_spread():
    advisor = StepAdvisor.from_pretrained("mini")
    prompts = reliability.paraphrases(scenes=6, wordings=2)
    mixed = prompts.sample(fraction=1, shuffle=True, seed=0)
    found, again = (reliability.paraphrase_spread(p, advisor.steps(p["prompt"].to_list())) for p in (prompts, mixed))
    assert found["within"].to_list() == pytest.approx(again["within"].to_list())
    assert found["metric"].to_list() == ["L-SNR", "D-SIM", "I-CLIP", "t*"]


def test_what_is_no_set_of_paraphrases_is_refused():
    prompts = pl.DataFrame({"scene": [0, 0, 1], "prompt": ["a", "b", "c"]})
    plan = pl.DataFrame({"prompt": ["a", "b", "c"], "steps": [1, 2, 3]})
    with pytest.raises(ValueError, match="each in the same number of wordings"):
        reliability.paraphrase_spread(prompts, plan)
    with pytest.raises(ValueError, match="the steps are of other prompts"):
        reliability.paraphrase_spread(prompts, plan.reverse())


def test_the_shipped_table_has_what_all_of_this_needs():
    held_out = split_by_prompt(read_scores(PROFILES["mini"].scores))[1]
    frame = reliability.reliability(held_out)
    assert set(frame["metric"]) == {*paper.METRICS, "all"}
    assert frame.filter(pl.col("quantity") == "plateau").height == 4


def test_the_line_on_regret_tells_knowing_from_a_random_deal_and_from_worse():
    goal = np.repeat([5, 20, 40], 20)
    knowing, contrary = goal + np.tile([-1, 1], 30), goal[::-1]
    unknowing = np.random.default_rng(0).permutation(goal)
    said = [oracle.regret_finding(oracle.regret({"OURS": steps}, goal)) for steps in (knowing, contrary, unknowing)]
    assert said[0].startswith("OURS' steps are 1.0 from ORACLE's, ") and said[0].endswith("nearer than dealt at random")
    assert said[1].endswith("farther than dealt at random")
    assert said[2].endswith("as far as can be told")


def test_an_oracle_is_said_to_be_better_or_worse_only_where_its_interval_is(unequal):
    frame = oracle.coverage(rules.steps_by_plateau(unequal), unequal)
    assert "BEST is better than UNIFORM" in oracle.coverage_finding(frame)
    lost = frame.with_columns(headroom=pl.lit(-0.2), headroom_low=pl.lit(-0.3), headroom_high=pl.lit(-0.1))
    assert oracle.coverage_finding(lost).startswith("ORACLE is worse than UNIFORM (-0.2000, -0.3000 to -0.1000)")
    open_ = frame.with_columns(headroom_low=pl.lit(-0.3), headroom_high=pl.lit(0.1))
    assert oracle.coverage_finding(open_).count("cannot be told from UNIFORM") == 3
