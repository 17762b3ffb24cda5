"""A memory is judged by pictures that it has not seen, and is worth what the prompts share."""

import numpy as np
import polars as pl
import pytest

from bfkit.evaluation.remembering import AGAIN, NEW, cases, gains, memory_finding, memory_title
from bfkit.predictor.advisor import StepAdvisor

STEPS = (1, 2, 3, 5, 9, 17, 22, 27, 33, 42, 65, 129)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """Twelve prompts that ripen at rates of their own, which no word tells; seeds differ by little."""
    lot, rows = np.random.default_rng(0), []
    known = StepAdvisor.from_pretrained("mini").examples[:12]
    for number, prompt in enumerate(known):
        rate = np.exp(lot.normal(0, 1.2))
        for seed in range(4):
            level = 0.4 * np.exp(0.05 * lot.standard_normal())
            falls = level * np.exp(-(np.array(STEPS) - 1) / (8 * rate))
            falls -= falls[-1]
            rows += [
                {"prompt_id": number, "prompt": prompt, "seed": seed, "steps": steps, "l_snr": 0.1 * fall,
                 "d_sim": fall, "i_clip": 1 - fall}
                for steps, fall in zip(STEPS, falls.tolist(), strict=True)
            ]  # fmt: skip
    return pl.DataFrame(rows)


def test_what_is_remembered_and_what_is_judged_share_no_picture(table):
    for case, (remembered, judged) in cases(table).items():
        assert not len(remembered.join(judged, on=["prompt_id", "seed"]))
        same = set(remembered["prompt"]) & set(judged["prompt"])
        assert len(same) == (12 if case == AGAIN else 0)
    with pytest.raises(ValueError, match="12 prompts with 1 seeds are too few"):
        cases(table.filter(seed=0))


def test_prompts_that_come_again_are_told_better_and_new_ones_not_worse(table):
    found = gains(StepAdvisor.from_pretrained("mini"), cases(table), 20)
    again = found.filter(case=AGAIN, quantity="loss left").row(0, named=True)
    assert again["low"] > 0 and again["with_"] == pytest.approx((1 - again["gain"]) * again["without"])
    assert found.filter(case=AGAIN, quantity="curves' error")["gain"].item() > 0.7
    assert found.filter(case=NEW, quantity="curves' error")["gain"].item() > -0.3
    assert "where prompts come again" in memory_finding(found)


def test_the_title_says_what_a_memory_surely_does():
    def told(again: float, new: float) -> str:
        rows = [{"case": case, "quantity": "loss left", "gain": value, "low": value - 0.1, "high": value + 0.1}
                for case, value in ((AGAIN, again), (NEW, new))]  # fmt: skip
        return memory_title(pl.DataFrame(rows))

    assert told(0.3, 0.05) == (
        "A memory takes away 30% of the loss where prompts come again, and does nothing sure where prompts are new"
    )
    assert told(0.0, 0.05) == ("A memory does nothing sure, neither where prompts come again nor where they are new")
    assert told(-0.3, 0.2).startswith("A memory adds 30% to the loss where prompts come again, and takes away 20%")
