"""Curves drawn at every step count against the same curves from twelve."""

import numpy as np
import polars as pl
import pytest

from bfkit import paper
from bfkit.evaluation.dense import (
    IN_LOGARITHMS,
    STRAIGHT,
    both_ways,
    dense_finding,
    dense_title,
    interpolation_errors,
    steps_by_both,
)

STEPS = np.arange(1, 130)


def table(levels: list[float], power: float = 1.0, steps: np.ndarray = STEPS) -> pl.DataFrame:
    rows = []
    for number, level in enumerate(levels):
        falls = level * (steps**-power - 129.0**-power)
        rows += [
            {"prompt_id": number, "prompt": f"prompt {number}", "seed": 0, "steps": count, "l_snr": 0.1 * fall,
             "d_sim": fall, "i_clip": 1 - fall}
            for count, fall in zip(steps.tolist(), falls.tolist(), strict=True)
        ]  # fmt: skip
    return pl.DataFrame(rows)


def test_a_power_of_the_steps_is_missed_by_straight_lines_as_its_convexity_says():
    prompts, curves = both_ways(table([0.4, 0.8]))
    assert prompts == ["prompt 0", "prompt 1"]
    errors = {(row["metric"], row["joined"]): row for row in interpolation_errors(curves).iter_rows(named=True)}
    counts = np.array(paper.STEP_COUNTS)
    apart = 0.6 * (np.interp(STEPS, counts, 1 / counts) - 1 / STEPS)
    straight = errors["d_sim", STRAIGHT]
    assert straight["error"] == pytest.approx(apart.mean()) and straight["worst"] == pytest.approx(apart.max())
    assert straight["worst_at"] == apart.argmax() + 1 and straight["range"] == pytest.approx(0.6 * (1 - 1 / 129))
    assert errors["d_sim", IN_LOGARITHMS]["error"] < 0.5 * straight["error"]
    assert errors["i_clip", STRAIGHT]["error"] == pytest.approx(straight["error"])


def test_lines_miss_nothing_and_move_no_steps():
    falls = table([0.5, 0.9], power=-1.0)  # straight, and rising: only the joining is looked at
    _, curves = both_ways(falls)
    assert interpolation_errors(curves).filter(joined=STRAIGHT)["error"].max() < 1e-12
    found = steps_by_both(both_ways(table([0.3, 0.6, 0.9]))[1], 17)
    own = found.filter(joined=STRAIGHT)
    assert (own["lost"] >= -1e-12).all() and own.filter(rule="price")["drawn_steps"].item() == 17
    assert "t* moves by" in dense_finding(interpolation_errors(curves), found)
    row = found.filter(rule="Eq. 7, plateau", joined=STRAIGHT).row(0, named=True)
    assert row["apart_low"] <= row["apart"] <= row["apart_high"]
    between = f"{row['apart']:.1f} steps ({row['apart_low']:.1f} to {row['apart_high']:.1f})"
    assert dense_title(found) == f"Joined from twelve, t* lies {between} from where every count would put it"


def test_a_table_with_a_gap_is_named():
    with pytest.raises(ValueError, match="no pictures in 4 steps: draw every step count from 1 to 129"):
        both_ways(table([0.5], steps=np.array(paper.STEP_COUNTS)))
    with pytest.raises(ValueError, match="ends at 40 steps, before 129"):
        both_ways(table([0.5], steps=STEPS[:40]))
