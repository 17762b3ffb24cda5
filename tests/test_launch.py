import pytest

from bfkit import build_dataset, read_scores
from bfkit.metrics import METRICS

PROMPTS = ["a white and empty wall", *(f"{n} red circles on a blue wall" for n in ("two", "three", "four")),
           *(f"a {color} star in a park" for color in ("red", "blue", "pink", "black", "white"))]  # fmt: skip


@pytest.mark.slow
def test_two_workers_make_the_rows_that_one_makes(random_profile, tmp_path):
    alone = build_dataset(random_profile, PROMPTS, tmp_path / "one")
    shared = build_dataset(random_profile, PROMPTS, tmp_path / "two", workers=2)
    assert [shard.path.name for shard in alone] == [shard.path.name for shard in shared] and len(alone) == 2
    one, two = read_scores(tmp_path / "one"), read_scores(tmp_path / "two")
    assert one.drop(*METRICS, "seconds").equals(two.drop(*METRICS, "seconds"))
    for name in METRICS:
        assert (one[name] - two[name]).abs().max() < 1e-4


def test_bad_prompts_are_refused_before_a_folder_is_made(random_profile, tmp_path):
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        build_dataset(random_profile, ["a wall", ""], tmp_path / "out")
    assert not (tmp_path / "out").exists()
