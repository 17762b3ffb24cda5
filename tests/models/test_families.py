"""Every family that diffusers loads goes the same way: loaded, drawn, counted, measured; equal to the plain call."""

import io
import json
import shutil
from dataclasses import replace
from functools import partial

import families
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from sentencepiece import SentencePieceTrainer

from bfkit.dataset.build import build_dataset
from bfkit.dataset.table import read_scores
from bfkit.evaluation.company import company
from bfkit.files import write_file
from bfkit.mini.captions import VOCABULARY
from bfkit.models.pipelines import decoder, denoiser, load_pipeline, picture_stage, take_turns, text_models
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import PROFILES, Profile
from bfkit.sampling import cost
from bfkit.sampling.conditioning import embed
from bfkit.sampling.counting import counting
from bfkit.sampling.generate import generate, sample, sample_in_float32

PROMPTS = ["a red circle", "three blue stars on a yellow background"]
SEEDS = [3, 4]
TOLERANCE = 1e-3  # a quarter of a grey level: batches of another size round differently
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*callback_steps.*:FutureWarning"),  # diffusers' combined Kandinsky calls so
]


@pytest.fixture(scope="module", params=list(families.BUILDERS))
def family(request, tmp_path_factory) -> tuple[Profile, object]:
    profile = families.save_tiny(request.param, tmp_path_factory.mktemp(request.param))
    return profile, load_pipeline(profile)


def test_every_profile_has_a_tiny_twin():
    assert set(families.BUILDERS) | {"mini"} == set(PROFILES)


@pytest.mark.parametrize("steps", [1, 2, 3, 9])
def test_pictures_are_those_of_the_plain_call_at_every_step_count(family, steps):
    profile, pipe = family
    pictures = generate(pipe, PROMPTS, steps, profile=profile, seeds=SEEDS)
    assert pictures.shape == (2, 3, profile.image_size, profile.image_size)
    for prompt, seed, picture in zip(PROMPTS, SEEDS, pictures, strict=True):
        expected = families.plain_call(pipe, profile, prompt, steps, seed)
        torch.testing.assert_close(picture, expected, atol=TOLERANCE, rtol=0)


def test_a_prompt_is_read_as_the_plain_call_reads_it_whatever_stands_in_it(family):
    """PixArt's call takes addresses, hashtags and mark-up out of a prompt; its text stage alone would not."""
    profile, pipe = family
    prompt = "Three BLUE stars &amp; a red circle #wall <b>on</b> a beach, @crowd https://example.org/two_red_circles"
    picture = generate(pipe, [prompt], 2, profile=profile, seeds=[5])[0]
    torch.testing.assert_close(picture, families.plain_call(pipe, profile, prompt, 2, 5), atol=TOLERANCE, rtol=0)


def test_a_vocabulary_as_pixart_publishes_it_a_spiece_model_alone_is_read(tmp_path):
    profile = families.save_tiny("pixart", tmp_path)
    shutil.rmtree(tmp_path / "tokenizer")
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(VOCABULARY), model_writer=model, vocab_size=40, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    write_file(tmp_path / "tokenizer" / "spiece.model", model.getvalue())
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(settings))
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "T5Tokenizer"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    pictures = generate(load_pipeline(profile), PROMPTS, 1, profile=profile, seeds=SEEDS)
    assert (pictures[0] - pictures[1]).abs().max() > TOLERANCE


def test_with_a_batch_of_one_a_picture_is_the_same_bit_for_bit_in_any_company(family):
    profile, pipe = family
    prompts = [*PROMPTS, "a colorful park with a crowd"]
    found = company(pipe, profile, prompts, steps=3)
    assert found["one_by_one"] == 0
    assert found["together"] <= 255 * TOLERANCE


def test_prompt_seed_and_steps_all_change_the_picture(family):
    profile, pipe = family
    first = generate(pipe, PROMPTS[:1], 2, profile=profile, seeds=[1])
    others = [
        generate(pipe, PROMPTS[1:], 2, profile=profile, seeds=[1]),
        generate(pipe, PROMPTS[:1], 2, profile=profile, seeds=[2]),
        generate(pipe, PROMPTS[:1], 9, profile=profile, seeds=[1]),
    ]
    for other in others:
        assert (first - other).abs().max() > 2 * TOLERANCE


@torch.inference_mode()
def test_all_step_counts_share_their_first_evaluation_and_nothing_else_changes(family):
    profile, pipe = family
    conditions = embed(pipe, profile, PROMPTS, SEEDS)
    alone = [sample(pipe, profile, conditions, steps) for steps in (5, 3, 2, 1)]
    made = []
    with counting(pipe, profile, share_first=True) as count:
        for steps, expected in zip((5, 3, 2, 1), alone, strict=True):
            assert torch.equal(sample(pipe, profile, conditions, steps), expected)
            made.append(count.take())
    assert made == [5, 2, 1, 0]


def test_pictures_decoded_one_by_one_are_the_same_and_the_denoiser_keeps_its_batch(family, monkeypatch):
    profile, pipe = family
    expected = generate(pipe, PROMPTS, 2, profile=profile, seeds=SEEDS)
    vae, decoded = decoder(pipe, profile), []
    decode = vae.decode

    def limited(latents, *args, **kwargs):
        if len(latents) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        decoded.append(len(latents))
        return decode(latents, *args, **kwargs)

    monkeypatch.setattr(vae, "decode", limited)
    with counting(pipe, profile) as count:
        pictures = generate(pipe, PROMPTS, 2, profile=profile, seeds=SEEDS)
    torch.testing.assert_close(pictures, expected, atol=TOLERANCE, rtol=0)
    assert (count.made, decoded) == (2, [1, 1]), "nothing is drawn twice"


def test_a_half_precision_pipeline_draws_in_float32_and_is_then_as_it_was(family):
    profile = replace(family[0], dtype="bfloat16")
    pipe = load_pipeline(profile)
    conditions = embed(pipe, profile, PROMPTS, SEEDS)
    before = sample(pipe, profile, conditions, 2)
    exactly = sample_in_float32(pipe, profile, conditions, 2)
    assert torch.equal(sample(pipe, profile, conditions, 2), before)
    expected = sample(pipe.to(torch.float32), profile, conditions.in_float32(), 2)
    torch.testing.assert_close(exactly, expected, atol=TOLERANCE, rtol=0)
    assert not torch.equal(before, exactly)


@pytest.mark.slow
def test_models_that_take_turns_draw_the_same_pictures_and_only_one_is_on_the_device(family, monkeypatch):
    profile = family[0]
    own = load_pipeline(profile)
    expected = generate(own, PROMPTS, 2, profile=profile, seeds=SEEDS)
    if profile.family.picture_stage:
        assert not take_turns(own, profile, "cpu")
        return
    turns = [*text_models(own), denoiser(own, profile)]
    there, to = [], torch.nn.Module.to

    def watched(module, *args, **kwargs):
        if module in turns and args == (torch.device("cpu", 0),):  # the device; where they wait is "cpu"
            there.append(module)
        elif module in turns and args == ("cpu",) and module in there:
            there.remove(module)
        return to(module, *args, **kwargs)

    for part in turns:
        monkeypatch.setattr(part, "to", partial(watched, part))
        part.register_forward_hook(lambda module, *_: pytest.fail("not alone") if there != [module] else None)
    assert take_turns(own, profile, torch.device("cpu", 0)) and not take_turns(own, profile, "cpu")
    with counting(own, profile) as count:
        pictures = generate(own, PROMPTS, 2, profile=profile, seeds=SEEDS)
    assert torch.equal(pictures, expected)
    assert count.made == 2


def test_a_scheduler_that_knows_spacing_gets_the_profiles(family):
    profile, pipe = family
    spacing = picture_stage(pipe, profile).scheduler.config.get("timestep_spacing", "linspace")
    assert spacing == profile.spacing == "linspace"


def test_without_guidance_two_pass_families_run_one(family):
    profile, pipe = family
    rows = []
    handle = denoiser(pipe, profile).register_forward_pre_hook(
        lambda module, args, kwargs: rows.append((args[0] if args else next(iter(kwargs.values()))).shape[0]),
        with_kwargs=True,
    )
    try:
        for guidance in (profile.guidance, 1.0):
            generate(pipe, PROMPTS, 1, profile=replace(profile, guidance=guidance), seeds=SEEDS)
    finally:
        handle.remove()
    assert rows == ([4, 2] if profile.family.two_passes else [2, 2])


def test_cost_is_counted_and_guidance_doubles_it_where_it_takes_two_passes(family):
    profile, pipe = family
    guided = cost.tflops_per_evaluation(pipe, profile)
    alone = cost.tflops_per_evaluation(pipe, replace(profile, guidance=1.0))
    assert guided > 0
    assert guided == pytest.approx(alone * (2 if profile.family.two_passes else 1))


def test_the_data_set_command_serves_it(family, random_profile, tmp_path):
    profile = replace(
        family[0], clip=random_profile.clip, perceptual=random_profile.perceptual, seeds=(0, 1), step_counts=(1, 2, 4)
    )
    build_dataset(profile, PROMPTS, tmp_path)
    rows = read_scores(tmp_path)
    assert len(rows) == 2 * 2 * 3
    assert rows.filter(steps=4)["d_sim"].abs().max() < 1e-5
    assert dict(rows.select("steps", "evals").unique().iter_rows()) == {4: 4, 2: 1, 1: 0}


def test_the_advisor_drives_it(family):
    profile, pipe = family
    advisor = StepAdvisor.from_pretrained("mini")
    options = {"use_resolution_binning": False} if profile.name == "pixart" else {}
    size = profile.image_size
    pictures = advisor.generate(pipe, PROMPTS, guidance_scale=profile.guidance, height=size, width=size, **options)
    assert [picture.size for picture in pictures] == [(size, size)] * 2


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (GatedRepoError, "is gated: accept its licence"),
        (RepositoryNotFoundError, "there is no model some/model on the hub, or it is private"),
        (LocalEntryNotFoundError, "is not on this machine and the hub cannot be reached"),
        (ValueError, r"does not load as a text-to-image pipeline \(wrong\)"),
    ],
)
def test_a_hub_id_that_does_not_load_is_one_sentence_with_a_way_out(monkeypatch, cause, words):
    """The errors are the hub client's own; only the network is missing."""

    def fail(*args, **options):
        error = cause.__new__(cause)
        Exception.__init__(error, "wrong")
        raise OSError("wrong") from error

    monkeypatch.setattr("bfkit.models.pipelines.AutoPipelineForText2Image.from_pretrained", fail)
    with pytest.raises(FileNotFoundError, match=f"some/model.*{words}.*local folder|{words}.*local folder"):
        load_pipeline(replace(PROFILES["sd2"], pipeline="some/model"))
