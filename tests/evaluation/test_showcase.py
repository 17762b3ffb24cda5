"""What is chosen to be shown is what it is said to be."""

import numpy as np
from curves import drawn_curves

from bfkit.evaluation.showcase import across_t_star, around, most_changed
from bfkit.predictor.rules import at_steps, steps_by_plateau

CURVES = drawn_curves(30)


def test_the_most_changed_come_first_and_no_other_changes_more():
    few, many = np.full(30, 2), np.full(30, 65)
    found = most_changed(CURVES, few, many, 4)
    change = at_steps(CURVES["d_sim"], few) - at_steps(CURVES["d_sim"], many)
    assert change[found].tolist() == sorted(change, reverse=True)[:4]


def test_rows_rise_in_t_star_and_each_changes_most_of_its_part():
    t_star = steps_by_plateau(CURVES)
    found = across_t_star(CURVES, t_star, 5)
    assert (np.diff(t_star[found]) >= 0).all() and len(set(found)) == 5
    part = np.argsort(t_star, kind="stable")[:6]
    change = at_steps(CURVES["d_sim"], np.maximum(1, t_star // 4)) - at_steps(CURVES["d_sim"], t_star)
    assert found[0] == part[change[part].argmax()]
    assert len(across_t_star(CURVES, t_star, 50)) == 30, "no more than there are"


def test_t_star_is_always_among_the_steps_around_it():
    assert all(t in around(t, 129) for t in range(1, 130))
