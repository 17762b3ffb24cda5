import pytest

from bfkit import build_dataset


def test_bad_prompts_are_refused_before_a_folder_is_made(random_profile, tmp_path):
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        build_dataset(random_profile, ["a wall", ""], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_finished_data_set_is_not_drawn_again(random_profile, tmp_path):
    first = build_dataset(random_profile, ["a red circle on a white wall"], tmp_path)
    before = first[0].path.read_bytes()
    assert [shard.path for shard in build_dataset(random_profile, ["a red circle on a white wall"], tmp_path)] == [
        first[0].path
    ]
    assert first[0].path.read_bytes() == before
