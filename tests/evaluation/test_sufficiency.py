"""Figure 6: below a plateau, at it, and the target, each with its own score."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bfkit import paper
from bfkit.evaluation import sufficiency
from bfkit.sampling.generate import generate

TEXTS = ["a red circle on a white wall", "a white and empty wall", "three blue stars on a yellow background"]
STEPS = np.arange(1, 13)


def test_each_metric_shows_the_prompt_that_moves_furthest_up_to_its_plateau():
    flat, steep = np.full(12, 0.2), 1 / STEPS
    measured = {
        name: np.stack([steep if row == at else flat for row in range(3)]) for at, name in enumerate(paper.METRICS)
    }
    steps = pl.DataFrame({"prompt": TEXTS}).with_columns(**dict.fromkeys((*paper.METRICS, "steps"), pl.lit(7)))
    found = sufficiency.examples(TEXTS, measured, steps)
    assert [(each.metric, each.prompt, each.below, each.at) for each in found] == [
        (name, text, 2, 7) for name, text in zip(paper.METRICS, TEXTS, strict=True)
    ]


@pytest.mark.slow
def test_the_rows_are_the_pictures_of_the_steps_they_name_with_their_scores(pipe, scorer, random_profile):
    examples = [sufficiency.Example("d_sim", TEXTS[0], 1, 3), sufficiency.Example("l_snr", TEXTS[2], 2, 4)]
    few = replace(random_profile, step_counts=(1, 2, 5))
    below, at, target = sufficiency.drawn(pipe, scorer, few, examples)
    drawn = generate(pipe, [TEXTS[0], TEXTS[2]], [1, 2], profile=random_profile)
    assert np.allclose(below.pictures, drawn, atol=1e-4)
    assert at.captions[0].startswith("D-SIM 0.") and at.captions[0].endswith(", 3 steps")
    assert target.captions[0].startswith("D-SIM 0.000") and target.captions[0].endswith(f"“{TEXTS[0]}”")
