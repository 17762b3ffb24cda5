"""Every profile goes the whole way by the commands: data set, predictor, steps, comparison, Table 2 and its charts."""

from dataclasses import replace

import families
import pytest
import torch

from bfkit import charts, cli, paper
from bfkit.evaluation import table2
from bfkit.metrics.inception import inception_score
from bfkit.mini.world import captioned_scenes
from bfkit.profiles import PROFILES
from bfkit.sampling.systems import SYSTEMS

IN_THE_UNET = ["DeepCache", "ToMe", "DistriFusion"]
GRIDS = [name for name in SYSTEMS if name.endswith("on a grid")]
ON_A_FLOW = {"DDIM": "flow matching", "EulerAncestral": "flow matching", **dict.fromkeys(IN_THE_UNET, "inside a UNet"),
             **dict.fromkeys([*GRIDS, "Error-controlled"], "flow matching")}  # fmt: skip
ABSENT = {  # by family, the systems of Table 2 that do not apply to it, and why
    "mini": {},
    "sd2": {},
    "sd15": {},
    "sdxl": {},
    "sd3": ON_A_FLOW,
    "flux": ON_A_FLOW,
    "pixart": dict.fromkeys(IN_THE_UNET, "inside a UNet"),
    "kandinsky": {
        "DDIM": "already",
        "EulerAncestral": "scales the denoiser's input",
        "ToMe": "transformer blocks",
        **dict.fromkeys(["Euler on a grid", "Error-controlled"], "scales the denoiser's input"),
    },
}
QUICK = ("sd3",)  # the one in which most is otherwise: a transformer, a flow, systems left out
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*callback_steps.*:FutureWarning"),  # diffusers' combined Kandinsky calls so
]


@pytest.fixture(params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ABSENT])
def profile(request, tmp_path, monkeypatch, random_profile):
    """The profile of that name with tiny models, few steps and a predictor that learns for a moment."""
    name = request.param
    # the miniature's classes at their own size, or the family's own classes, tiny
    tiny = random_profile if name == "mini" else families.save_tiny(name, tmp_path / "pipeline")
    grid = (1, 2, 4, 8)
    predictor = replace(tiny.predictor, grid=grid, hidden=16, mlp=16, epochs=dict.fromkeys(paper.METRICS, 2))
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(captioned_scenes(30, seed=5)))
    small = replace(
        tiny, clip=PROFILES["mini"].clip, perceptual=random_profile.perceptual, seeds=(0,), step_counts=grid, batch=8,
        captions=str(captions), predictor=predictor, scores=str(tmp_path / "scores"),
        advisor=str(tmp_path / "advisor"), systems=str(tmp_path / "systems.parquet"),
        i_clip="image" if name in QUICK else "caption",  # captions take most of the time
    )  # fmt: skip
    monkeypatch.setitem(PROFILES, name, small)
    monkeypatch.setattr(paper, "REFERENCE_STEPS", 5)
    return small


def run(*arguments: object) -> None:
    assert cli.main([str(argument) for argument in arguments]) == 0


def test_a_family_goes_the_whole_way(profile, tmp_path, capsys):
    own = ("--profile", profile.name)
    run("dataset", *own, "--prompts", 8, "--out", profile.scores)
    run("train", *own, "--out", profile.advisor)
    run("steps", *own, "a red circle on a white wall")
    assert "t*" in capsys.readouterr().out
    compared = (*own, "--out", tmp_path / "compared", "--table", profile.systems)
    run("compare", *compared, "--part", "2/2")
    assert "part 2/2 is finished; " in capsys.readouterr().out, "all prompts are in the first"
    run("compare", *compared)
    said, absent = capsys.readouterr().out, ABSENT[profile.name]

    frame, reasons = table2.read(profile.systems), table2.absent(profile.systems)
    assert list(reasons) == list(absent)
    for name, words in absent.items():
        assert words in reasons[name]
        assert f"{name} ({reasons[name]})" in said
    drawn = ["OURS", "UNIFORM", "RANDOM", "REFERENCE", *(name for name in SYSTEMS if name not in absent)]
    assert frame["system"].unique(maintain_order=True).to_list() == drawn
    assert frame["d_sim"].is_finite().all()

    shown = table2.table2(frame, reasons)
    assert shown["system"].to_list() == [*drawn, *absent]
    assert "left_out" in shown.columns or not absent
    gains = table2.against_uniform(frame)
    chart = charts.systems(gains, table2.equal_cost_finding(gains))
    combined = table2.combinations(table2.read_combinations(profile.systems))
    points = charts.combinations(combined, table2.front_finding(combined))
    assert all(panel.to_dict() for panel in (chart, points))
    for name in drawn:
        assert inception_score(torch.tensor(frame.filter(system=name)["logits"].to_list()))[0] >= 1 - 1e-4
    if profile.name in ("sd3", "flux"):
        assert set(combined["sampler"]) == {"plain", "DPM-Solver++ 2M"}
        euler, solver = (frame.filter(system=name)["d_sim_plain"] for name in ("UNIFORM", "UniPC"))
        assert not euler.equals(solver), "another sampler on the flow"
