"""The analysis against independent computations, and against observers whose sensitivity is known."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.stats
import statsmodels.api as sm
from study_helpers import pictures

from bfkit import charts, study
from bfkit.charts.study import STUDY_COLORS
from bfkit.study.analysis import Interval, counts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return study.build(pictures(46, size=4), tmp_path_factory.mktemp("similar"), trials=40, orders=60)


@pytest.fixture(scope="module")
def rows(made):
    return study.simulate(made, study.Observers(0.37, participants=30), seed=5)


@pytest.fixture(scope="module")
def reference_rows(tmp_path_factory):
    other = study.build(pictures(26, size=4), tmp_path_factory.mktemp("reference"), "reference", trials=20)
    return study.simulate(other, study.Observers(-0.54, participants=20), seed=6)


def test_the_known_sensitivity_lies_in_its_interval_in_at_least_93_of_100_runs(made):
    found = 0
    for seed in range(100):
        d = (-1.0, -0.54, 0.0, 0.37, 1.0)[seed % 5]
        answers = study.simulate(made, study.Observers(d), seed)
        interval = study.crossed(answers).map(study.d_prime)
        found += interval.low <= d <= interval.high
    assert found >= 93, f"{found} of 100"


@pytest.mark.slow
def test_the_mixed_model_covers_the_known_share_too_and_knows_how_people_and_prompts_stray(made):
    covered, people, prompts = 0, [], []
    for seed in range(24):
        d = (-0.54, 0.37)[seed % 2]
        mixed = study.mixed_share(study.simulate(made, study.Observers(d), seed))
        covered += mixed.share.low <= scipy.stats.norm.cdf(d / np.sqrt(2)) <= mixed.share.high
        people.append(mixed.people)
        prompts.append(mixed.prompts)
    assert covered >= 21  # 95% of 24 is 23
    assert np.mean(people) == pytest.approx(0.3 * 1.7, rel=0.25)  # a probit deviation is about 1.7 times one of logits
    assert np.mean(prompts) == pytest.approx(0.3 * 1.7, rel=0.25)


def test_simulated_rows_say_so_each_and_the_same_seed_says_the_same(made, rows):
    assert rows["simulated"].all() and rows["participant"].str.starts_with("simulated").all()
    assert study.simulate(made, study.Observers(0.37, participants=30), seed=5).equals(rows)
    assert not study.simulate(made, study.Observers(0.37, participants=30), seed=6).equals(rows)


def test_the_papers_mean_and_error_are_those_of_participants_shares(rows):
    shares = rows.filter(kind="main").group_by("participant").agg((pl.col("chosen") == "OURS").mean())["chosen"]
    assert study.mean_share(rows) == pytest.approx((shares.mean(), shares.std() / np.sqrt(30)))


def test_the_bootstrap_over_people_agrees_with_the_standard_error(rows):
    _, error = study.mean_share(rows)
    interval = study.bootstrap(rows)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_the_crossed_error_is_statsmodels_two_way_clustered_one(rows):
    main = rows.filter(kind="main")
    y = (main["chosen"] == "OURS").to_numpy().astype(float)
    groups = np.column_stack([main[name].rank("dense").to_numpy() for name in ("participant", "prompt")])
    fit = sm.OLS(y, np.ones(len(y))).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    interval = study.crossed(rows)
    z = scipy.stats.norm.ppf([interval.low, interval.high])
    error = (z[1] - z[0]) / 2 / scipy.stats.t.ppf(0.975, 29) * scipy.stats.norm.pdf(z.mean())
    assert interval.value == pytest.approx(y.mean())
    assert error == pytest.approx(fit.bse[0], rel=0.03)  # ours makes up for the number of clusters


def test_a_jnd_is_75_percent_and_the_paper_is_within_one():
    assert study.jnd(0.75) == pytest.approx(1) and study.jnd(0.25) == pytest.approx(-1) and study.jnd(0.5) == 0
    assert study.d_prime(0.75) == pytest.approx(np.sqrt(2) * 0.6744898)
    assert -1 < study.jnd(0.352) < -0.5, "35.2% is above 25%: within one JND"


def test_unanimous_and_lone_answers_have_intervals_too(rows):
    agreed = rows.with_columns(chosen=pl.lit("OURS"))
    interval = study.crossed(agreed)
    assert 0.99 < interval.value < 1 and interval.low <= interval.value <= interval.high <= 1
    alone = rows.filter(participant="simulated-0000")
    assert study.crossed(alone)[1:] == (0, 1) and np.isnan(study.mean_share(alone)[1])


def test_the_mixed_model_takes_few_answers_and_refuses_unanimous_ones(rows):
    few = rows.filter(pl.col("participant") < "simulated-0002")
    share = study.mixed_share(few).share
    assert 0 < share.low < share.value < share.high < 1
    agreed = rows.with_columns(chosen=pl.when(pl.col("kind") == "main").then(pl.lit("OURS")).otherwise("chosen"))
    with pytest.raises(ValueError, match="answers that differ"):
        study.mixed_share(agreed)
    (found,) = study.analyse(agreed)
    assert found.mixed is None and found.mean == 1 and all("simulated" in line for line in found.lines())


def test_the_number_of_participants_gives_the_power_asked_for():
    share, trials, between = 0.56, 20, 0.08
    people = study.participants_needed(share, trials, between, power=0.8)
    rng = np.random.default_rng(0)
    true = np.clip(rng.normal(share, between, (4000, people)), 0, 1)
    shares = rng.binomial(trials, true) / trials
    power = (scipy.stats.ttest_1samp(shares, 0.5, axis=1).pvalue < 0.05).mean()
    assert 0.78 <= power <= 0.86
    assert study.participants_needed(0.53, trials, between) > 3 * people
    with pytest.raises(ValueError, match="no study can tell 50% from 50%"):
        study.participants_needed(0.5, trials, between)


def test_the_spread_of_people_is_found_beyond_the_chance_of_trials(made):
    wide = study.simulate(made, study.Observers(0.0, participants=200, between=0.5, prompts=0.0), seed=1)
    none = study.simulate(made, study.Observers(0.0, participants=200, between=0.0, prompts=0.0), seed=1)
    expected = scipy.stats.norm.cdf(np.random.default_rng(0).normal(0, 0.5, 10_000)).std()
    assert study.spread(wide) == pytest.approx(expected, rel=0.15) and study.spread(none) < 0.04


def test_a_push_to_the_left_is_seen_and_hardly_moves_the_share(made):
    pushed = study.simulate(made, study.Observers(0.37, participants=60, left=0.5), seed=3)
    left, p = study.side_bias(pushed)
    assert left.low > 0.6 and p < 1e-6
    assert study.crossed(pushed).low < scipy.stats.norm.cdf(0.37 / np.sqrt(2)) < study.crossed(pushed).high
    fair = study.simulate(made, study.Observers(0.37, participants=60), seed=3)
    assert study.side_bias(fair)[0].low < 0.5 < study.side_bias(fair)[0].high


def test_the_rules_leave_out_whom_they_name_and_nobody_else(rows):
    names = rows["participant"].unique().sort()
    who = pl.col("participant")
    check, main = pl.col("kind") == "check", pl.col("kind") == "main"
    bad = rows.with_columns(
        chosen=pl.when((who == names[0]) & check).then(pl.lit("DECOY")).otherwise("chosen"),
        rt_ms=pl.when(who == names[1]).then(120.0).otherwise("rt_ms"),
        choice=pl.when(who == names[2]).then(pl.lit("A")).otherwise("choice"),
    ).filter(~((who == names[3]) & main & (pl.col("position") > 20)))
    again = rows.filter(who == names[4]).with_columns(session=pl.lit("f" * 32), shown_at=pl.col("shown_at") + 10**6)
    kept, excluded = study.apply_rules(pl.concat([bad, again]))
    reasons = dict(excluded.select("participant", "reason").iter_rows())
    assert reasons == {names[0]: "attention checks missed", names[1]: "too many fast answers",
                       names[2]: "one side only", names[3]: "too few trials", names[4]: "a second session"}  # fmt: skip
    assert set(kept["participant"]) == set(names[4:])
    assert kept.filter(who == names[4])["session"].n_unique() == 1


def test_repeats_count_for_consistency_and_not_for_the_share(rows):
    always = rows.with_columns(chosen=pl.when(pl.col("kind") == "repeat").then(pl.lit("UNIFORM")).otherwise("chosen"))
    assert study.mean_share(always) == study.mean_share(rows)
    people = study.by_participant(always)
    main = always.filter(kind="main").select("session", "prompt", before="chosen")
    repeats = always.filter(kind="repeat").join(main, on=["session", "prompt"])
    assert people["consistency"].mean() == pytest.approx((repeats["before"] == "UNIFORM").mean())
    assert counts(always)[1].sum() == 30 * 40


def test_people_and_simulated_observers_are_never_analysed_together(rows):
    mixed = pl.concat([rows, rows.with_columns(simulated=False, session=pl.lit("f" * 32))])
    with pytest.raises(ValueError, match="are mixed"):
        study.analyse(mixed)
    with pytest.raises(ValueError, match="there are no answers"):
        study.analyse(rows.clear())


def test_a_report_of_simulated_observers_says_so_in_every_line_and_title(rows, reference_rows, tmp_path):
    report = study.write_report(pl.concat([rows, reference_rows]), tmp_path).read_text()
    told = [line for line in report.splitlines() if line and not line.startswith("Rules")]
    assert len(told) > 10 and all("simulated" in line for line in told)
    for name in ("fig09", "sides", "times"):
        assert (
            "simulated" in (tmp_path / f"{name}.svg").read_text() and (tmp_path / f"{name}.png").stat().st_size > 5000
        )
    assert pl.read_csv(tmp_path / "participants.csv")["simulated"].all()


def test_a_report_of_people_does_not(rows, tmp_path):
    people = rows.with_columns(simulated=pl.lit(False), participant=pl.col("participant").str.replace("simulated", "p"))
    assert "simulated" not in study.write_report(people, tmp_path).read_text()
    assert "simulated observers" not in (tmp_path / "fig09.svg").read_text()


def test_the_authors_answers_are_analysed_without_sides_and_times(tmp_path):
    lines = [f"{t},p{p},/r/{t}.png,/t/{t}_ours.png,/t/{t}_x.png,{'true' if (t * p) % 3 else 'false'}"
             for p in range(6) for t in range(1, 13)]  # fmt: skip
    (tmp_path / "theirs.csv").write_text("\n".join(["trial,participant,imgRef,imgA,imgB,isImgASelected", *lines]))
    with pytest.warns(UserWarning, match="shuffled"):
        answers = study.import_authors_csv(tmp_path / "theirs.csv")
    (found,) = study.analyse(answers)
    assert found.bias is None and found.consistency is None and found.mixed.left is None and found.trials == 72
    assert not (study.write_report(answers, tmp_path / "out").parent / "times.svg").exists()


def test_figure_9_counts_every_participant_and_marks_chance_and_one_jnd(rows, reference_rows):
    people = study.by_participant(pl.concat([rows, reference_rows]))
    spec = charts.user_study(people, "title").to_dict()
    data = [row for frame in spec["datasets"].values() for row in frame]
    assert sum(row["participants"] for row in data if "participants" in row) == 50
    assert {row["text"]: row["at"] for row in data if "text" in row} == {"chance": 50, "-1 JND": 25, "+1 JND": 75}
    assert "simulated" in " ".join(spec["title"]["text"])
    green, violet = (STUDY_COLORS[name] for name in ("similar", "reference"))
    assert green in json.dumps(spec) and violet in json.dumps(spec)


def test_a_figure_survives_a_round_trip_and_a_single_participant(rows):
    import altair as alt

    people = study.by_participant(rows.filter(participant="simulated-0000"))
    figures = (charts.user_study(people, "t"), charts.study_sides(people, "t"),
               charts.study_times(study.time_on_trial(rows), "t"))  # fmt: skip
    for figure in figures:
        assert alt.Chart.from_dict(json.loads(figure.to_json())).to_dict() == figure.to_dict()


def test_time_on_trial_follows_the_place_in_the_order(rows):
    slow = rows.with_columns(rt_ms=pl.col("position") * 100.0)
    times = study.time_on_trial(slow)
    assert times["place"].to_list() == list(range(1, 41)) and times["median"].is_sorted()
    assert (times["low"] <= times["median"]).all() and (times["median"] <= times["high"]).all()


def test_the_line_on_shares_says_within_one_jnd_only_where_the_interval_is(rows, reference_rows):
    found = study.analyse(pl.concat([rows, reference_rows]))
    said = study.shares_finding(found)
    assert f"{found[0].share.value:.1%} [" in said and "against UNIFORM, within one JND; in " in said
    far = replace(found[0], share=Interval(0.9, 0.8, 0.95))
    open_ = replace(found[1], share=Interval(0.3, 0.2, 0.4))
    assert study.shares_finding([far, open_]).endswith(
        "90.0% [80.0%, 95.0%] against UNIFORM, more than one JND; in 30.0% [20.0%, 40.0%] against REFERENCE, "
        "it is open whether within one JND"
    )
