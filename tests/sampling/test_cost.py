from dataclasses import replace

import pytest
import torch

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
