"""What knowing the prompt or the picture can save, where the answer was planted."""

import numpy as np
import polars as pl
import pytest

from bfkit import paper
from bfkit.evaluation import ceiling

PROMPTS, SEEDS, EXPONENT = 300, 6, 1.5
OF_PROMPT, OF_SEED = 0.8, 1.1  # standard deviations of the log loss


def planted(
    prompts: int = PROMPTS, of_prompt: float = OF_PROMPT, of_seed: float = OF_SEED, seed: int = 0
) -> pl.DataFrame:
    """Pictures whose D-SIM is a_i n^-b above its end: a_i of the prompt and of the noise."""
    lot = np.random.default_rng(seed)
    level = of_prompt * lot.standard_normal((prompts, 1)) + of_seed * lot.standard_normal((prompts, SEEDS))
    fall = np.array(paper.STEP_COUNTS, float) ** -EXPONENT
    distance = np.exp(level - 5)[..., None] * (fall - fall[-1])
    keys = [(row, seed, steps) for row in range(prompts) for seed in range(SEEDS) for steps in paper.STEP_COUNTS]
    frame = pl.DataFrame(keys, schema=["prompt_id", "seed", "steps"], orient="row")
    values = distance.ravel()
    return frame.with_columns(
        prompt=pl.format("prompt {}", "prompt_id"), d_sim=values, l_snr=values / 2, i_clip=1 - values
    )


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return planted()


@pytest.fixture(scope="module")
def found(frame) -> pl.DataFrame:
    return ceiling.ceilings(frame, [9, 17])


def test_the_prompts_share_is_the_one_that_was_planted(frame):
    rows = ceiling.shares(frame).filter(scale="log loss", metric="d_sim")
    assert rows["steps"].to_list() == list(paper.STEP_COUNTS[:-1])
    rho = OF_PROMPT**2 / (OF_PROMPT**2 + OF_SEED**2)
    assert ((rows["low"] < rho) & (rho < rows["high"])).all()
    assert rows["spread"].to_numpy() == pytest.approx(np.hypot(OF_PROMPT, OF_SEED), rel=0.1)
    alone = ceiling.shares(planted(of_prompt=0)).filter(scale="log loss", metric="d_sim")
    assert (alone["low"] == 0).all() and (alone["high"] < 0.1).all()
    steady = ceiling.shares(planted(of_seed=0)).filter(scale="log loss", metric="d_sim")
    assert steady["share"].to_numpy() == pytest.approx(1)


def test_the_closed_form_is_what_sharing_out_by_lagrange_saves():
    level = np.random.default_rng(1).normal(0, 1.2, 400_000)
    steps = np.exp(level / (1 + EXPONENT))  # of sum a_i n_i^-b at a fixed mean n
    best = (np.exp(level) * (steps / steps.mean()) ** -EXPONENT).mean() / np.exp(level).mean()
    assert ceiling.best_saving(1.2**2, EXPONENT) == pytest.approx(1 - best, abs=0.005)


def test_the_exponent_is_read_off_log_losses():
    logs = 3 - EXPONENT * np.log([5.0, 9, 17, 33]) + np.array([[0.0], [2.0]])
    assert ceiling.exponent(logs, [5, 9, 17, 33]) == pytest.approx([EXPONENT] * 2)


def test_what_is_saved_lies_between_nothing_and_hindsight_and_near_the_law(found):
    saved = {(row["knows"], row["how"], row["budget"]): row["saved"] for row in found.iter_rows(named=True)}
    for budget in (9.0, 17.0):
        law = saved["prompt", "power law", budget]
        assert law == pytest.approx(ceiling.best_saving(OF_PROMPT**2, EXPONENT), abs=0.06)
        assert 0.4 * law < saved["prompt", "half, shrunk", budget] < 1.1 * law
        assert saved["prompt", "half, shrunk", budget] > saved["prompt", "half the seeds", budget]
        assert saved["picture", "hindsight", budget] == pytest.approx(saved["picture", "power law", budget], abs=0.12)
        assert saved["picture", "hindsight", budget] > law
    assert ((found["low"] < found["saved"]) & (found["saved"] < found["high"])).all()


def test_where_prompts_are_alike_nothing_is_promised_and_shrinking_keeps_from_harm():
    rows = ceiling.ceilings(planted(of_prompt=0), [17]).filter(knows="prompt")
    saved = dict(rows.select("how", "saved").iter_rows())
    assert saved["power law"] < 0.02
    assert saved["half, shrunk"] == pytest.approx(0, abs=0.05)
    assert saved["half the seeds"] < saved["half, shrunk"]


def test_the_finding_has_the_numbers(found):
    said = ceiling.ceiling_finding(found, 17)
    (law,) = found.filter(budget=17, knows="picture", how="power law")["saved"]
    (words,) = found.filter(budget=17, knows="prompt", how="power law").select("saved", "low", "high").rows()
    assert "the prompt alone can save at most {:.0%} ({:.0%} to {:.0%}) here".format(*words) in said
    assert f"the picture {law:.0%} (" in said and "nobody saves more than" in said


def test_the_title_promises_nothing_where_prompts_are_alike(found):
    own = ceiling.ceiling_title(found, 17)
    assert own.startswith("At 17 steps words could save ") and "nothing sure" not in own
    alike = ceiling.ceiling_title(ceiling.ceilings(planted(of_prompt=0), [17]), 17)
    assert alike.startswith("At 17 steps words could save nothing sure (up to ") and "picture nothing" not in alike


@pytest.mark.parametrize(
    ("frame", "budget", "words"),
    [
        (planted(prompts=2), 17, "2 prompts and 6 seeds"),
        (planted(prompts=3).filter(pl.col("seed") == 0), 17, "3 prompts and 1 seeds"),
        (planted(prompts=3), 1000, "a budget of 1000 steps cannot be judged"),
    ],
)
def test_what_cannot_be_told_is_one_sentence(frame, budget, words):
    with pytest.raises(ValueError, match=words):
        ceiling.ceilings(frame, [budget])
