"""What a caption says of a scene is told right or wrong as the scene is."""

from bfkit.mini import world
from bfkit.mini.captions import told_right


def test_true_captions_are_found_right_and_other_scenes_captions_are_not():
    scenes = world.sample_scenes(400, seed=17)
    told = [told_right(scene.caption, scene) for scene in scenes]
    assert [scene.caption for scene, one in zip(scenes, told, strict=True) if not all(one.values())] == []
    assert all("ground" in one for one in told)
    others = [told_right(scenes[row - 1].caption, scene) for row, scene in enumerate(scenes)]
    for part in ("ground", "colors", "shapes"):
        own = [one[part] for one in others if part in one]
        assert sum(own) / len(own) < 0.5
