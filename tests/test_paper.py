"""The paper's numbers agree with each other wherever the paper says how they hang together."""

import pytest

from bfkit import paper


def test_step_counts_are_a_power_law_with_the_boundary_and_three_more():
    power_law = [1 + 2 ** (i - 1) for i in range(1, 9)]
    assert tuple(sorted({1, *power_law, 22, 27, 42})) == paper.STEP_COUNTS
    assert len(paper.STEP_COUNTS) == 12


def test_every_prompt_was_drawn_at_every_step_count_with_every_seed():
    assert paper.PROMPTS * len(paper.STEP_COUNTS) * paper.SEEDS == paper.IMAGES


def test_a_tenth_of_the_prompts_is_held_out():
    held_out = paper.PROMPTS - 16_545  # trained on, Section 3.3
    assert held_out == 1_839  # tested on, Section 4
    assert held_out == pytest.approx(paper.TEST_SHARE * paper.PROMPTS, abs=1)


def test_the_target_is_the_last_step_count_and_the_reference_the_one_before():
    assert paper.STEP_COUNTS[-1] == paper.TARGET_STEPS
    assert paper.STEP_COUNTS[-2] == paper.REFERENCE_STEPS


def test_the_mlp_begins_with_both_directions_of_the_lstm():
    assert paper.MLP_SIZES[0] == 2 * paper.LSTM_HIDDEN
    assert paper.MLP_SIZES[-1] == 1


@pytest.mark.parametrize("table", ["LABELS", "EPOCHS", "WEIGHTS"])
def test_tables_by_metric_name_every_metric(table):
    assert tuple(getattr(paper, table)) == paper.METRICS


def test_table_1_has_every_metric_and_the_full_model_is_best_in_each():
    for row in paper.TABLE_1.values():
        assert tuple(row) == paper.METRICS
    for metric in paper.METRICS:
        assert min(paper.TABLE_1, key=lambda name: paper.TABLE_1[name][metric]) == "OURS"


@pytest.mark.parametrize("table", ["LABELS", "EPOCHS", "WEIGHTS", "TABLE_1"])
def test_what_the_paper_states_cannot_be_changed(table):
    with pytest.raises(TypeError):
        getattr(paper, table)["l_snr"] = 0
