"""Noise by seed, the same pictures as a plain diffusers call, and one step that starts from noise."""

from dataclasses import replace

import pytest
import torch
from diffusers import EulerDiscreteScheduler

from bfkit import paper
from bfkit.devices import choose_device
from bfkit.models.pipelines import load_pipeline
from bfkit.sampling.conditioning import Conditioning, embed
from bfkit.sampling.counting import counting
from bfkit.sampling.generate import generate, sample

PROMPTS = ["a white and empty wall", "two red circles on a beach", "a crowd in a park", "a teal star", "a night sky"]


def plain_call(pipe, profile, prompt: str, steps: int, seed: int, **options) -> torch.Tensor:
    """What somebody would write with diffusers alone, one picture at a time."""
    options = {"num_inference_steps": steps, **options}
    latents = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return pipe(prompt, latents=latents, guidance_scale=profile.guidance, output_type="pt", **options).images[0]


# --- noise ----------------------------------------------------------------------------------------------------------


def noise(conditioning: Conditioning) -> list[torch.Tensor]:
    return [torch.randn((4, 16, 16), generator=generator) for generator in conditioning.generators()]


def test_noise_depends_on_the_seed_alone(pipe, random_profile):
    torch.manual_seed(5)
    rows = noise(embed(pipe, random_profile, PROMPTS[:4], [3, 1, 3, 0]))
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[0], rows[1])
    torch.manual_seed(6)
    for seed, row in zip([3, 1, 3, 0], rows, strict=True):
        assert torch.equal(noise(embed(pipe, random_profile, PROMPTS[4:], [seed]))[0], row)


def test_every_draw_from_the_same_conditions_begins_anew(pipe, random_profile):
    conditioning = embed(pipe, random_profile, PROMPTS[:2], [7, 8])
    for first, second in zip(noise(conditioning), noise(conditioning), strict=True):
        assert torch.equal(first, second)
    assert torch.equal(noise(conditioning.rows([1]))[0], noise(conditioning)[1])


def test_drawing_leaves_the_global_generator_alone(pipe, random_profile):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    sample(pipe, random_profile, embed(pipe, random_profile, PROMPTS[:2], [1, 2]), 1)
    assert torch.equal(torch.rand(3), expected)


def test_a_prompt_is_embedded_once_for_all_its_seeds(pipe, random_profile):
    texts = []
    handle = pipe.text_encoder.register_forward_pre_hook(lambda module, args: texts.append(args[0].shape[0]))
    try:
        conditioning = embed(pipe, replace(random_profile, guidance=1.0), [PROMPTS[0]] * 4 + [PROMPTS[1]] * 4, range(8))
    finally:
        handle.remove()
    assert texts == [2]
    assert conditioning.texts["prompt_embeds"].shape[0] == 8
    assert torch.equal(conditioning.texts["prompt_embeds"][0], conditioning.texts["prompt_embeds"][3])


# --- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 4])
def test_pictures_are_those_of_a_plain_diffusers_call(pipe, random_profile, steps):
    seeds = [0, 1, 0, 9, 4]
    pictures = generate(pipe, PROMPTS, steps, profile=random_profile, seeds=seeds)
    assert pictures.shape == (5, 3, 64, 64)
    assert pictures.dtype == torch.float32
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    for prompt, seed, picture in zip(PROMPTS, seeds, pictures, strict=True):
        expected = plain_call(pipe, random_profile, prompt, steps, seed)
        torch.testing.assert_close(picture, expected, atol=1e-4, rtol=0)


def test_without_guidance_pictures_are_those_of_a_plain_call_as_well(pipe, random_profile):
    profile = replace(random_profile, guidance=1.0)
    picture = generate(pipe, PROMPTS[:1], 2, profile=profile, seeds=[3])[0]
    torch.testing.assert_close(picture, plain_call(pipe, profile, PROMPTS[0], 2, 3), atol=1e-4, rtol=0)
    guided = generate(pipe, PROMPTS[:1], 2, profile=random_profile, seeds=[3])[0]
    assert (picture - guided).abs().max() > 1e-3


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_picture_does_not_depend_on_its_batch(pipe, random_profile, batch):
    whole = generate(pipe, PROMPTS, 2, profile=random_profile)
    pictures = generate(pipe, PROMPTS, 2, profile=random_profile, batch=batch)
    torch.testing.assert_close(pictures, whole, atol=1e-4, rtol=0)


def test_prompt_seed_and_steps_all_change_the_picture(pipe, random_profile):
    def picture(prompt: str, steps: int, seed: int) -> torch.Tensor:
        return generate(pipe, [prompt], steps, profile=random_profile, seeds=[seed])

    first = picture(PROMPTS[0], 2, 0)
    assert torch.equal(picture(PROMPTS[0], 2, 0), first)
    for other in (picture(PROMPTS[1], 2, 0), picture(PROMPTS[0], 4, 0), picture(PROMPTS[0], 2, 1)):
        assert (other - first).abs().max() > 1e-3


def test_the_default_seed_is_the_profiles_first(pipe, random_profile):
    profile = replace(random_profile, seeds=(6, 1))
    pictures = generate(pipe, PROMPTS[:2], 2, profile=profile)
    assert torch.equal(pictures, generate(pipe, PROMPTS[:2], 2, profile=profile, seeds=[6, 6]))


def test_a_single_text_is_one_prompt(pipe, random_profile):
    pictures = generate(pipe, PROMPTS[0], 2, profile=random_profile)
    assert torch.equal(pictures, generate(pipe, PROMPTS[:1], 2, profile=random_profile))


def test_a_prompt_longer_than_the_model_reads_is_cut(pipe, random_profile):
    long = " ".join(["red"] * 40)
    pictures = generate(pipe, [long, long + " blue"], 2, profile=random_profile)
    assert torch.equal(pictures[0], pictures[1])


# --- steps ----------------------------------------------------------------------------------------------------------


def test_several_steps_go_evenly_from_noise_to_the_end(pipe, random_profile):
    generate(pipe, PROMPTS[:1], 4, profile=random_profile)
    assert pipe.scheduler.timesteps.tolist() == [999, 666, 333, 0]


def test_one_step_starts_from_noise(pipe, random_profile):
    generate(pipe, PROMPTS[:1], 1, profile=random_profile)
    assert pipe.scheduler.timesteps.tolist() == [999]
    diffusers_own = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    diffusers_own.set_timesteps(1)
    assert diffusers_own.timesteps.tolist() == [0], "which is why one step needs care"


def test_timesteps_that_are_asked_for_by_hand_are_used_as_they_are(pipe):
    pipe(PROMPTS[0], timesteps=[800, 500], output_type="pt")
    assert pipe.scheduler.timesteps.tolist() == [800, 500]


@torch.no_grad()
def test_one_step_is_the_denoisers_guess_of_the_whole_picture(pipe, random_profile):
    """Undo the noise of timestep 999 once, by the formulas of v-prediction, and decode."""
    picture = generate(pipe, PROMPTS[:1], 1, profile=random_profile, seeds=[5])[0]
    alpha = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square().neg().add(1).prod().item()
    latents = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(5))
    # the sampler begins with noise times sigma, which the denoiser sees scaled by 1 / sqrt(sigma^2 + 1)
    seen = latents * (1 - alpha) ** 0.5
    texts = embed(pipe, random_profile, PROMPTS[:1], [5]).texts
    both = (texts["prompt_embeds"], texts["negative_prompt_embeds"])
    with_words, without = (pipe.unet(seen, 999, text).sample for text in both)
    velocity = without + random_profile.guidance * (with_words - without)
    clean = alpha**0.5 * seen - (1 - alpha) ** 0.5 * velocity
    expected = (pipe.vae.decode(clean / pipe.vae.config.scaling_factor).sample[0] / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(picture, expected, atol=2e-4, rtol=0)
    undenoised = (pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample[0] / 2 + 0.5).clamp(0, 1)
    assert (picture - undenoised).abs().max() > 0.01


# --- counting, and the shared first evaluation ------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_there_is_one_evaluation_a_step(pipe, random_profile, steps, guidance):
    profile = replace(random_profile, guidance=guidance)
    conditioning = embed(pipe, profile, PROMPTS[:2], [0, 1])
    with counting(pipe, profile) as count:
        sample(pipe, profile, conditioning, steps)
    assert count.made == steps
    sample(pipe, profile, conditioning, 2)
    assert count.made == steps, "it counts only while it is entered"


@pytest.mark.slow
def test_the_papers_twelve_step_counts_take_344_evaluations_instead_of_355(pipe, random_profile):
    conditioning, made = embed(pipe, random_profile, PROMPTS[:1], [0]), []
    with counting(pipe, random_profile, share_first=True) as count:
        for steps in sorted(paper.STEP_COUNTS, reverse=True):
            sample(pipe, random_profile, conditioning, steps)
            made.append(count.take())
    assert sum(paper.STEP_COUNTS) == 355
    assert made == [129, *(steps - 1 for steps in sorted(paper.STEP_COUNTS, reverse=True)[1:])]
    assert sum(made) == 344


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_pictures_with_a_shared_first_evaluation_are_the_same_bit_for_bit(pipe, random_profile, guidance):
    profile = replace(random_profile, guidance=guidance)
    conditioning = embed(pipe, profile, PROMPTS[:2], [0, 1])
    alone = [sample(pipe, profile, conditioning, steps) for steps in (5, 3, 1)]
    with counting(pipe, profile, share_first=True) as count:
        shared = []
        for steps in (5, 3, 1):
            shared.append(sample(pipe, profile, conditioning, steps))
            count.take()
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one, other)


def test_nothing_is_shared_where_the_first_evaluation_differs(pipe, random_profile):
    """Other noise, another prompt, or timesteps that begin elsewhere: all are evaluated."""
    leading = load_pipeline(replace(random_profile, spacing="leading"))
    conditioning = embed(leading, random_profile, PROMPTS[:1], [0])
    with counting(leading, random_profile, share_first=True) as count:
        for steps in (4, 3):
            sample(leading, random_profile, conditioning, steps)
            assert count.take() == steps
    with counting(pipe, random_profile, share_first=True) as count:
        for prompt, seed in ((PROMPTS[0], 0), (PROMPTS[0], 1), (PROMPTS[1], 0)):
            sample(pipe, random_profile, embed(pipe, random_profile, [prompt], [seed]), 2)
            assert count.take() == 2


def test_the_denoiser_is_itself_again_after_counting_also_after_a_failure(pipe, random_profile):
    before = pipe.unet.forward
    with pytest.raises(ZeroDivisionError), counting(pipe, random_profile):
        raise ZeroDivisionError
    assert pipe.unet.forward == before


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, True, "4", "many", None, float("nan"), float("inf")], ids=repr)
def test_steps_that_are_no_whole_number_from_1_to_1000_are_refused(pipe, random_profile, steps):
    with pytest.raises(ValueError, match="whole number from 1 to 1000"):
        generate(pipe, PROMPTS[:1], steps, profile=random_profile)


def test_a_whole_number_of_another_type_is_a_step_count(pipe, random_profile):
    expected = generate(pipe, PROMPTS[:1], 2, profile=random_profile)
    for steps in (2.0, torch.tensor(2), torch.tensor(2).numpy()[()]):
        assert torch.equal(generate(pipe, PROMPTS[:1], steps, profile=random_profile), expected)


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ([], "no prompts"),
        ("", "prompt 0 is empty"),
        (["a wall", " \n"], "prompt 1 is empty"),
        (["a wall", 7], "prompt 1 is int 7, not text"),
        (["a wall", "a beach", None], "prompt 2 is NoneType None, not text"),
    ],
)
def test_prompts_that_say_nothing_are_refused_naming_the_first(pipe, random_profile, prompts, words):
    with pytest.raises(ValueError, match=words):
        generate(pipe, prompts, 2, profile=random_profile)


@pytest.mark.parametrize("seeds", [[], [1], [1, 2, 3]])
def test_another_number_of_seeds_than_prompts_is_refused(pipe, random_profile, seeds):
    with pytest.raises(ValueError, match=f"{len(seeds)} seeds for 2 prompts"):
        generate(pipe, PROMPTS[:2], 2, profile=random_profile, seeds=seeds)


def test_a_device_that_is_not_there_is_refused_with_what_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=r"no device cuda:2: torch finds 2 CUDA devices; choose cpu"):
        choose_device("cuda:2")
    with pytest.raises(ValueError, match=r"unknown device 'gpu': choose cpu, cuda or cuda:N"):
        choose_device("gpu")


# --- loading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_the_profile_decides_how_timesteps_are_spaced(random_profile, spacing):
    pipe = load_pipeline(replace(random_profile, spacing=spacing))
    assert isinstance(pipe.scheduler, EulerDiscreteScheduler)
    pipe.scheduler.set_timesteps(4)
    expected = {"linspace": [999, 666, 333, 0], "leading": [751, 501, 251, 1], "trailing": [999, 749, 499, 249]}
    assert pipe.scheduler.timesteps.tolist() == expected[spacing]


def test_the_pipeline_computes_in_float32(pipe):
    assert {part.dtype for part in (pipe.unet, pipe.vae, pipe.text_encoder)} == {torch.float32}


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_a_pipeline_is_refused_with_a_way_out(random_profile, tmp_path, exists):
    folder = tmp_path / "pipeline"
    if exists:
        folder.mkdir()
    with pytest.raises(FileNotFoundError, match=r"no pipeline in .*model_index.json is missing.*train"):
        load_pipeline(replace(random_profile, pipeline=str(folder)))


def test_a_relative_folder_is_a_folder_as_well(random_profile, random_folder, monkeypatch):
    monkeypatch.chdir(random_folder)
    assert load_pipeline(replace(random_profile, pipeline="pipeline")).unet.config.sample_size == 16


def test_a_relative_folder_without_a_pipeline_is_refused_alike(random_profile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no pipeline in .*model_index.json is missing"):
        load_pipeline(replace(random_profile, pipeline="pipeline"))
