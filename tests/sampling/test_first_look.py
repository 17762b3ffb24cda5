"""What the first evaluation shows: of the right rows, whatever the family and the batch, and nothing else changes."""

from dataclasses import replace

import families
import pytest
import torch

from bfkit.models.pipelines import compile_denoiser, denoiser, load_pipeline
from bfkit.profiles import Profile
from bfkit.sampling.conditioning import embed
from bfkit.sampling.counting import counting
from bfkit.sampling.first_look import middle
from bfkit.sampling.generate import sample

PROMPTS = ["a red circle", "three blue stars on a yellow background", "a crowd in a park"]


@torch.inference_mode()
def look(pipe, profile: Profile, rows: slice = slice(None), steps: int = 2) -> torch.Tensor:
    with counting(pipe, profile, share_first=True) as count:
        sample(pipe, profile, embed(pipe, profile, PROMPTS[rows], [0, 1, 2][rows]), steps)
    assert count.look is not None
    return count.look


@torch.inference_mode()
def test_the_miniatures_look_is_the_middles_means_and_spreads_and_the_end_on_a_grid(pipe, random_profile):
    unet, inner, outer = pipe.unet, [], []
    watched = [
        unet.mid_block.register_forward_hook(lambda _m, _i, output: inner.append(output)),
        unet.register_forward_hook(lambda _m, _i, output: outer.append(output[0])),
    ]
    try:
        found = look(pipe, random_profile)
    finally:
        for hook in watched:
            hook.remove()
    inside, (without, end) = inner[0][3:], outer[0].chunk(2)
    side = end.shape[-1] // 4
    expected = [
        *(inside[:, c].flatten(1).mean(1) for c in range(inside.shape[1])),
        *(inside[:, c].flatten(1).std(1, correction=0) for c in range(inside.shape[1])),
    ]
    for picture in (end, end - without):
        for c in range(picture.shape[1]):
            for i in range(4):
                for j in range(4):
                    tile = picture[:, c, i * side : (i + 1) * side, j * side : (j + 1) * side]
                    expected.append(tile.mean((1, 2)))
    torch.testing.assert_close(found, torch.stack(expected, dim=1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", families.BUILDERS)
@pytest.mark.filterwarnings("ignore:.*callback_steps.*:FutureWarning")
def test_every_familys_look_is_the_same_at_every_step_count_and_in_any_company(name, tmp_path):
    profile = families.save_tiny(name, tmp_path)
    pipe = load_pipeline(profile)
    found = look(pipe, profile)
    assert found.isfinite().all() and len(found) == 3 and len(found.unique(dim=0)) == 3
    assert torch.equal(look(pipe, profile, steps=5), found)
    for row in range(3):
        torch.testing.assert_close(look(pipe, profile, slice(row, row + 1))[0], found[row], atol=1e-4, rtol=1e-3)
    words = look(pipe, replace(profile, guidance=1.0)) if profile.family.two_passes else found
    torch.testing.assert_close(found[:, : words.shape[1]], words, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's own, on the way to compiling
def test_a_compiled_denoiser_is_looked_into_too(random_profile):
    plain, compiled = load_pipeline(random_profile), load_pipeline(random_profile)
    compile_denoiser(compiled, random_profile)
    torch.testing.assert_close(look(compiled, random_profile), look(plain, random_profile), atol=1e-5, rtol=1e-4)


def test_of_a_denoiser_whose_middle_nobody_knows_the_end_alone_is_looked_at(random_profile, monkeypatch):
    pipe = load_pipeline(random_profile)
    whole = look(pipe, random_profile)
    monkeypatch.setattr("bfkit.sampling.first_look.middle", lambda _: None)
    ends = look(pipe, random_profile)
    assert ends.shape == (3, 2 * 4 * 16) and torch.equal(ends, whole[:, -ends.shape[1] :])
    assert middle(torch.nn.Linear(2, 2)) is None


def test_nothing_is_left_behind_in_the_denoiser(pipe, random_profile):
    look(pipe, random_profile)
    block = middle(denoiser(pipe, random_profile))
    assert block is not None and not block._forward_hooks
