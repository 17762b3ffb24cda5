import warnings
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from bfkit import paper
from bfkit.metrics.registry import METRICS
from bfkit.predictor import rules
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.model import fit_predictors, relative_to, save_predictors
from bfkit.predictor.plateau import plateau_step, plateau_steps
from bfkit.predictor.promise import Promise, Terms
from bfkit.profiles import PredictorSettings

PROMPTS = ["a white and empty wall", "a crowd of many colorful shapes on a striped green background", "a red circle"]


@pytest.fixture(scope="module")
def advisor(scorer, tmp_path_factory, random_folder) -> StepAdvisor:
    """Networks that learned a curve of their own for each metric, saved and loaded as the shipped ones are."""
    steps = np.arange(1, 130)
    curves = {
        "l_snr": np.stack([0.1 / steps**power for power in (0.5, 1.0, 2.0)]),
        "d_sim": np.stack([0.8 / steps**power for power in (0.3, 0.6, 1.2)]),
        "i_clip": np.stack([1 - 0.7 / steps**power for power in (0.4, 0.8, 1.6)]),
    }
    settings = PredictorSettings(layers=1, hidden=8, mlp=16, batch=3, rate=1e-2, epochs=dict.fromkeys(curves, 30))
    fitted = fit_predictors(scorer.clip.embed_texts(PROMPTS).cpu(), curves, settings)
    folder = tmp_path_factory.mktemp("advisor")
    save_predictors(fitted, folder, {"clip": relative_to(folder, random_folder / "clip"), "examples": PROMPTS[:2]})
    return StepAdvisor.from_pretrained(folder)


def test_curves_has_a_row_for_each_prompt_metric_and_step(advisor):
    frame = advisor.curves(PROMPTS)
    assert frame.columns == ["prompt", "metric", "steps", "value"]
    assert frame.group_by("prompt", "metric").len()["len"].unique().to_list() == [paper.TARGET_STEPS]
    assert frame["steps"].min() == 1 and frame["steps"].max() == paper.TARGET_STEPS
    assert frame["value"].is_between(0, 1).all()


def test_steps_are_the_plateaus_of_the_curves_and_t_star_the_last(advisor):
    curves, plan = advisor.curves(PROMPTS), advisor.steps(PROMPTS)
    assert plan.columns == ["prompt", "l_snr", "d_sim", "i_clip", "steps"]
    assert plan["prompt"].to_list() == PROMPTS
    for row in plan.iter_rows(named=True):
        own = {name: curves.filter(prompt=row["prompt"], metric=name).sort("steps")["value"] for name in METRICS}
        for name, values in own.items():
            assert row[name] == plateau_step(values, paper.WEIGHTS[name], METRICS[name].lower_is_better)
        assert row["steps"] == plateau_steps(own, paper.WEIGHTS) == max(row[name] for name in METRICS)


def test_a_prompt_gets_the_same_answer_alone_as_in_company(advisor):
    together = advisor.steps(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        assert advisor.steps(prompt).row(0) == together.row(row)


def test_other_weights_give_other_steps(advisor):
    strict = replace(advisor, weights=dict.fromkeys(METRICS, 5.0))
    generous = replace(advisor, weights=dict.fromkeys(METRICS, 0.0))
    assert (strict.steps(PROMPTS)["steps"] < generous.steps(PROMPTS)["steps"]).all()


def test_generate_draws_each_prompt_in_its_own_steps_and_returns_them_in_the_order_asked(advisor, pipe):
    advisor = replace(advisor, weights=dict.fromkeys(METRICS, 3.0))  # few steps
    plan = advisor.steps(PROMPTS)
    assert plan["steps"].n_unique() > 1
    pictures = advisor.generate(pipe, PROMPTS, seeds=[3, 1, 2], guidance_scale=2.0, output_type="np", batch=2)
    for row, (prompt, steps) in enumerate(plan.select("prompt", "steps").iter_rows()):
        alone = pipe(
            prompt,
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed([3, 1, 2][row]),
            guidance_scale=2.0,
            output_type="np",
        ).images[0]
        np.testing.assert_allclose(pictures[row], alone, atol=1e-4)


def test_generate_wants_a_seed_for_each_prompt(advisor, pipe):
    with pytest.raises(ValueError, match="1 seeds for 3 prompts"):
        advisor.generate(pipe, PROMPTS, seeds=[1])


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [([], "no prompts"), (["a wall", " "], "prompt 1 is empty"), (["a wall", 7], "prompt 1 is int 7, not text")],
)
def test_bad_prompts_are_named(advisor, prompts, sentence):
    with pytest.raises(ValueError, match=sentence):
        advisor.steps(prompts)


def test_an_unknown_word_is_warned_of_by_name(advisor):
    with pytest.warns(UserWarning, match="does not know 'zebra'"):
        advisor.steps("a zebra on a white wall")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advisor.steps(PROMPTS)


def test_a_prompt_of_unknown_words_alone_is_refused_with_examples(advisor):
    with pytest.raises(ValueError, match=r"no word of 'zebras galloping' is known.*a white and empty wall"):
        advisor.steps("zebras galloping")
    with pytest.raises(
        ValueError, match=r"of 'zebras galloping' is known.*; nor is one of 'xyzzy', 'qwer': leave these"
    ):
        advisor.steps(["a red circle", "zebras galloping", "xyzzy", "a blue square", "qwer"])


def test_a_very_long_prompt_is_read_as_far_as_the_text_model_reads(advisor):
    frame = advisor.steps("a crowd of many colorful shapes " * 60)
    assert frame["steps"].is_between(1, paper.TARGET_STEPS).all()


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        StepAdvisor.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="no advisor 'nowhere': name a folder or one of mini"):
        StepAdvisor.from_pretrained("nowhere")


def test_frames_can_be_joined_on_the_prompt(advisor):
    joined = advisor.curves(PROMPTS).join(advisor.steps(PROMPTS).rename({"steps": "t_star"}), on="prompt")
    at_plateau = joined.filter(pl.col("steps") == pl.col("t_star"))
    assert len(at_plateau) == len(PROMPTS) * len(METRICS)


def test_a_rule_set_by_mean_steps_spends_them_on_prompts_like_those_trained_on(advisor):
    remembered = replace(advisor, examples=tuple(PROMPTS))
    for rule in ("plateau", "threshold", "price"):
        plan = remembered.steps(PROMPTS, rule, mean_steps=30)
        assert plan.columns == ["prompt", "l_snr", "d_sim", "i_clip", "steps"]
        assert 20 < plan["steps"].mean() <= 30
    assert remembered.steps(PROMPTS, "threshold", tolerance=0.02)["steps"].to_list() == [
        first_within(remembered.dense(prompt), 0.02) for prompt in PROMPTS
    ]


def first_within(curves: dict[str, np.ndarray], tolerable: float) -> int:
    """The step from which on the mean over the metrics lacks no more than that of the last step's quality."""
    lost = np.mean([np.abs(values[0] - values[0, -1]) for values in curves.values()], axis=0)  # they only fall
    return int(np.flatnonzero(lost > tolerable)[-1]) + 2 if (lost > tolerable).any() else 1


def test_a_total_is_spent_to_the_last_step_and_goes_where_it_is_worth_most(advisor):
    for total in (3, 50, 200, 387):
        assert advisor.allocate(PROMPTS, total)["steps"].sum() == total
    shared = advisor.allocate(PROMPTS, 60)["steps"].to_numpy()
    curves = advisor.dense(PROMPTS)
    kept = np.mean([values if name == "i_clip" else 1 - values for name, values in curves.items()], axis=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        other = np.maximum(rng.multinomial(60, rng.dirichlet(np.ones(3))), 1)
        other[other.argmax()] += 60 - other.sum()
        rows = np.arange(3)
        assert kept[rows, shared - 1].sum() >= kept[rows, other - 1].sum() - 1e-6


def test_a_total_in_seconds_or_joules_buys_whole_steps_by_what_was_measured(advisor):
    priced = replace(advisor, costs={"seconds": 0.4, "tflops": 2.0})
    assert priced.allocate(PROMPTS, 40, "seconds")["steps"].sum() == 100
    assert priced.allocate(PROMPTS, 41.1, "tflops")["steps"].sum() == 20
    with pytest.raises(ValueError, match="has measured no joules: give the total in steps"):
        priced.allocate(PROMPTS, 40, "joules")


@pytest.mark.parametrize(
    ("total", "unit", "words"),
    [
        (2, "steps", "a total of 2 steps is 2.0 steps, and 3 prompts take 3 to 387"),
        (400, "steps", "3 prompts take 3 to 387"),
        (float("nan"), "steps", "3 prompts take 3 to 387"),
        (40, "euros", "unknown unit 'euros': choose from steps, tflops, seconds, joules"),
    ],
)
def test_a_budget_that_cannot_be_shared_out_is_one_sentence(advisor, total, unit, words):
    with pytest.raises(ValueError, match=words):
        advisor.allocate(PROMPTS, total, unit)


def test_generate_draws_by_the_rule_that_it_is_given(advisor, pipe):
    remembered = replace(advisor, examples=tuple(PROMPTS))
    steps = remembered.steps(PROMPTS[0], "price", mean_steps=5)["steps"].item()
    asked = {"guidance_scale": 2.0, "output_type": "np"}
    (picture,) = remembered.generate(pipe, PROMPTS[0], seeds=[3], rule="price", mean_steps=5, **asked)
    alone = pipe(PROMPTS[0], num_inference_steps=steps, generator=[torch.Generator().manual_seed(3)], **asked)
    np.testing.assert_allclose(picture, alone.images[0], atol=1e-4)


def test_what_is_promised_is_followed_and_has_its_own_knob(advisor):
    promised = replace(advisor, promise=Promise("price", 0.004, Terms(), 9.0, 61))
    expected = rules.steps_by_price(advisor.dense(PROMPTS), 0.004)
    assert promised.steps(PROMPTS, "promised")["steps"].to_list() == expected.tolist()
    for_all = replace(advisor, promise=Promise("constant", 22, Terms(), 22.0, 61))
    assert for_all.steps(PROMPTS, "promised")["steps"].to_list() == [22, 22, 22]
    with pytest.raises(ValueError, match="a promise has its own knob"):
        promised.steps(PROMPTS, "promised", mean_steps=9)
    with pytest.raises(ValueError, match="has promised nothing"):
        advisor.steps(PROMPTS, "promised")


def test_an_advisor_that_remembers_says_what_was_measured_of_the_same_prompts_and_else_what_it_thinks(advisor):
    steps = np.array([1, 2, 3, 5, 9, 17, 33, 65, 129])
    rows = [
        {"prompt_id": number, "prompt": prompt, "seed": seed, "steps": count, "l_snr": 0.05 / count,
         "d_sim": (0.9 - 0.4 * number) / count, "i_clip": 1 - 0.5 / count}
        for number, prompt in enumerate(PROMPTS[:2]) for seed in (0, 1) for count in steps.tolist()
    ]  # fmt: skip
    frame = pl.DataFrame(rows)
    wise = advisor.remember(frame)
    measured = np.stack([np.interp(np.arange(1, 130), steps, (0.9 - 0.4 * number) / steps) for number in (0, 1)])
    before, after = (one.dense(PROMPTS)["d_sim"] for one in (advisor, wise))
    assert np.abs(after[:2] - measured).mean() < 0.2 * np.abs(before[:2] - measured).mean()
    assert wise.remember(frame).dense(PROMPTS)["d_sim"] == pytest.approx(after), "no memory of a memory"
    with pytest.raises(ValueError, match="end at 65 steps, this advisor's curves at 129"):
        advisor.remember(frame.filter(pl.col("steps") <= 65))
