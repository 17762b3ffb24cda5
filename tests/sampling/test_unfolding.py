"""A picture on its way ends where an ordinary drawing of it ends, in every family; its latents can be looked at."""

import families
import pytest
import torch

from bfkit.models.pipelines import load_pipeline
from bfkit.sampling.conditioning import embed
from bfkit.sampling.generate import generate
from bfkit.sampling.unfolding import decoded, maps, nudged, unfold

QUICK = ("sd2", "sd3", "flux", "kandinsky")  # every kind of latent and of scheduler
FAMILIES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in families.BUILDERS]
PROMPT = "three blue stars on a yellow background"


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.filterwarnings("ignore:.*callback_steps.*:FutureWarning")
def test_a_picture_unfolds_from_its_noise_to_what_is_drawn_in_as_many_steps(name, tmp_path):
    profile = families.save_tiny(name, tmp_path)
    pipe = load_pipeline(profile)
    seen = unfold(pipe, profile, PROMPT, 3, seed=1)
    drawn = generate(pipe, [PROMPT], 3, profile=profile, seeds=[1])
    torch.testing.assert_close(seen.held[-1:], drawn, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        seen.believed[-2], seen.believed[-1], atol=1e-2, rtol=0
    )  # the last step goes all the way
    assert len(seen.labels) == len(seen.held) == len(seen.believed) == len(seen.holds) == 4
    assert seen.holds[0].std().item() == pytest.approx(1, abs=0.2), "it begins as noise, as the denoiser sees it"
    once = unfold(pipe, profile, PROMPT, 1, seed=1)
    torch.testing.assert_close(once.holds[0], seen.holds[0], atol=1e-3, rtol=0)
    again = generate(pipe, [PROMPT], 3, profile=profile, seeds=[1])
    assert torch.equal(again, drawn), "the scheduler is as it was"
    assert maps(seen.holds).shape[:2] == (4, 3) and maps(seen.holds).shape[2] >= 64


def test_the_first_belief_is_the_picture_of_a_single_step(pipe, random_profile):
    seen = unfold(pipe, random_profile, PROMPT, 4)
    single = generate(pipe, [PROMPT], 1, profile=random_profile)
    torch.testing.assert_close(seen.believed[:1], single, atol=1e-4, rtol=0)


def test_maps_lay_channels_out_in_grey_and_a_row_of_patches_as_the_square_it_is():
    latents = torch.zeros(1, 3, 2, 2)
    latents[0, 1], latents[0, 2, 0, 0] = 3.0, -3.0
    (shown,) = maps(latents)
    side = shown.shape[1] // 6  # two maps of two numbers, each with its border of one
    at = shown[:, side // 2 :: side, side // 2 :: side]
    white, grey, black = 1.0, 0.5, 0.0
    expected = torch.tensor([[grey, grey, white, white, white, white], [grey, grey, white, white, white, white],
                             [white] * 6, [black, grey, white, white, white, white],
                             [grey, grey, white, white, white, white], [white] * 6])  # fmt: skip
    assert torch.equal(at, expected.expand(3, -1, -1))
    patches = torch.arange(4.0).reshape(1, 4, 1) - 2
    assert torch.equal(maps(patches), maps(patches.reshape(1, 1, 2, 2)))


def test_a_nudged_latent_differs_at_one_place_and_so_does_its_picture_most(pipe, random_profile):
    end = unfold(pipe, random_profile, PROMPT, 2).holds[-1:]
    moved = nudged(end, [0.0, 4.0])
    assert torch.equal(moved[:1], end) and (moved[1] != end[0]).sum() == 1
    pictures = decoded(pipe, random_profile, embed(pipe, random_profile, [PROMPT], [0]), moved)
    assert (pictures[0] - pictures[1]).abs().max() > 0
    rows = torch.zeros(1, 9, 2)
    assert (nudged(rows, [1.0])[0] != 0).nonzero()[:, 0].unique().tolist() == [4], "the middle of three by three"
