"""A rule is chosen by its name and what may be lost or spent; what cannot be is refused in a sentence."""

import numpy as np
import pytest
from curves import drawn_curves

from bfkit import paper
from bfkit.predictor import rules
from bfkit.predictor.choice import OFFERED, Choice, choose
from bfkit.predictor.plateau import plateau_step, plateau_steps


@pytest.fixture(scope="module")
def typical() -> dict[str, np.ndarray]:
    return drawn_curves(60, seed=1)


def asked(rule: str, tolerance: float | None = None, mean_steps: float | None = None, **given) -> Choice:
    return choose(rule, tolerance, mean_steps, given.get("weights", paper.WEIGHTS), lambda: given["typical"])


def test_a_table_has_a_row_a_prompt_with_every_plateau_and_t_star():
    rng = np.random.default_rng(0)
    steps = np.arange(1, 130)
    falling = np.exp(-steps / rng.uniform(2, 30, size=(2, 7, 1)))
    curves = {"l_snr": falling[0], "d_sim": falling[1], "i_clip": 1 - falling[0] ** 2}
    prompts = [f"prompt {number}" for number in (3, 1, 2, 2, 0, 5, 4)]
    table = Choice().table(prompts, curves)
    assert table.columns == ["prompt", "l_snr", "d_sim", "i_clip", "steps"]
    assert table["prompt"].to_list() == prompts
    for number, row in enumerate(table.iter_rows(named=True)):
        own = {name: values[number] for name, values in curves.items()}
        assert row["steps"] == plateau_steps(own)
        for name, curve in own.items():
            assert row[name] == plateau_step(curve, paper.WEIGHTS[name], name != "i_clip")


@pytest.mark.parametrize("rule", OFFERED)
def test_the_mean_steps_are_spent_on_prompts_like_those_and_by_default_what_equation_7_spends(rule, typical):
    found = asked(rule, mean_steps=20, typical=typical).steps(typical)
    assert 18 < found.mean() <= 20
    default = asked(rule, typical=typical).steps(typical)
    assert default.mean() == pytest.approx(rules.steps_by_plateau(typical).mean(), abs=2)


def test_the_threshold_keeps_to_its_tolerance_on_the_curves_that_it_reads(typical):
    found = asked("threshold", tolerance=0.03, typical=typical).steps(typical)
    lost = rules.loss(typical)
    assert (rules.at_steps(lost, found) <= 0.03).all()
    more = found > 1
    assert (rules.at_steps(lost[more], found[more] - 1) > 0.03).all(), "and spends no step too many"


def test_the_plateau_reads_the_weights_it_is_given(typical):
    weights = dict.fromkeys(paper.METRICS, 2.0)
    chosen = asked("plateau", weights=weights, typical=typical)
    assert (chosen.steps(typical) == rules.steps_by_plateau(typical, weights=weights)).all()


def test_the_mean_steps_of_the_plateau_are_those_of_its_own_weights(typical):
    weights = dict.fromkeys(paper.METRICS, 0.0) | {"d_sim": 3.0}
    chosen = asked("plateau", mean_steps=25, weights=weights, typical=typical)
    own = {name: weight + chosen.knob for name, weight in weights.items()}
    spent = rules.steps_by_plateau(typical, weights=own)
    assert (chosen.steps(typical) == spent).all() and 20 < spent.mean() <= 25


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        (("dearest",), "unknown rule 'dearest': choose from plateau, threshold, price"),
        (("uniform",), "unknown rule 'uniform'"),
        (("threshold", 0.1, 20), "give one of them"),
        (("price", 0.1), "a tolerance is the loss that the threshold leaves"),
        (("threshold", float("nan")), "a tolerance is a loss from 0 to 1; got nan"),
        (("threshold", -0.1), "a tolerance is a loss from 0 to 1; got -0.1"),
        (("price", None, 0.5), "mean steps are a number from 1 to 129; got 0.5"),
        (("price", None, float("inf")), "mean steps are a number from 1 to 129; got inf"),
        (("plateau", None, 1000), "mean steps are a number from 1 to 129; got 1000"),
    ],
)
def test_what_cannot_be_chosen_is_one_sentence(asks, words, typical):
    with pytest.raises(ValueError, match=words):
        asked(*asks, typical=typical)
