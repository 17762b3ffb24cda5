from dataclasses import replace

import polars as pl
import pytest
import torch

from bfkit import paper
from bfkit.sampling import cost


def test_counted_operations_grow_with_guidance_and_agree_with_the_layers(pipe, random_profile):
    guided = cost.tflops_per_evaluation(pipe, replace(random_profile, guidance=3.0))
    plain = cost.tflops_per_evaluation(pipe, replace(random_profile, guidance=1.0))
    assert guided == pytest.approx(2 * plain)
    # an independent count: convolutions and linear layers alone, two operations a multiply-add, by hooks
    counted = 0

    def count(module, inputs, output):
        nonlocal counted
        if isinstance(module, torch.nn.Conv2d):
            counted += 2 * output.numel() * module.weight[0].numel()
        elif isinstance(module, torch.nn.Linear):
            counted += 2 * output.numel() * module.in_features

    hooks = [module.register_forward_hook(count) for module in pipe.unet.modules()]
    with torch.inference_mode():
        pipe.unet(torch.zeros(1, 4, 16, 16), torch.tensor(500), torch.zeros(1, 32, 128))
    for hook in hooks:
        hook.remove()
    assert counted / 1e12 <= plain <= 1.1 * counted / 1e12, "only attention's own products may come on top"


def test_an_evaluation_takes_some_time(pipe, random_profile):
    assert 0 < cost.seconds_per_evaluation(pipe, random_profile, batch=2, repeats=2) < 10


def test_each_picture_is_timed_from_its_text_on_and_advice_counts_for_ours_alone(pipe, random_profile, monkeypatch):
    monkeypatch.setattr(paper, "REFERENCE_STEPS", 4)
    asked = []
    timed = cost.timed_pictures(pipe, random_profile, {"a red circle": 2, "a wall": 3}, asked.append)
    assert timed.select("system", "prompt", "steps").rows() == [
        ("OURS", "a red circle", 2), ("REFERENCE", "a red circle", 4),
        ("OURS", "a wall", 3), ("REFERENCE", "a wall", 4),
    ]  # fmt: skip
    assert (timed["seconds"] > 0).all() and asked.count("a wall") == 1
    found = cost.seconds_an_image(timed)
    assert found["pictures"].to_list() == [2, 2] and found["steps"].to_list() == [2.5, 4]
    assert found["sd"][0] == pytest.approx(abs(timed["seconds"][0] - timed["seconds"][2]) / 2**0.5)


def test_time_is_saved_only_where_the_interval_says_so():
    def told(*seconds: float) -> str:
        rows = [(name, str(i), 5, value, None) for i, pair in enumerate(zip(seconds, (4.0, 5.0, 6.0), strict=True))
                for name, value in zip(("OURS", "REFERENCE"), pair, strict=True)]  # fmt: skip
        return cost.time_finding(pl.DataFrame(rows, schema=cost.TIMED, orient="row"))

    assert told(1, 1, 1).startswith("OURS saves 80% of the time of 65 steps (75% to 83%); in the paper, 64%")
    assert told(9, 1, 9).startswith("OURS saves nothing sure: -27% of the time")
