"""What is saved is what full-size libraries load, and nothing is lost but float16's rounding."""

import json
import shutil

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from bfkit.mini import models
from bfkit.mini.captions import VOCABULARY
from bfkit.mini.render import draw
from bfkit.mini.world import captioned_scenes
from bfkit.models.perceptual import PerceptualEmbedder, load_embedder, save_embedder

BUILDERS = {
    "autoencoder": models.build_autoencoder,
    "text encoder": models.build_text_encoder,
    "unet": models.build_unet,
    "clip": models.build_clip,
    "embedder": PerceptualEmbedder,
}


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return draw(list(captioned_scenes(8, seed=3).values()))


@pytest.fixture(scope="module")
def embedder(random_folder) -> PerceptualEmbedder:
    return load_embedder(random_folder / "perceptual")


def assert_half_precision_copy(loaded: torch.nn.Module, original: torch.nn.Module) -> None:
    """The same weights by name, each the float16 nearest to the original."""
    loaded, original = loaded.state_dict(), original.state_dict()
    assert loaded.keys() == original.keys()
    for name, values in original.items():
        torch.testing.assert_close(loaded[name].float(), values.half().float(), atol=0, rtol=0, msg=name)


# --- building -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_the_seed_decides_every_weight_and_none_is_wild(name):
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        weights.append(BUILDERS[name]().state_dict())
    for key, values in weights[0].items():
        assert torch.equal(values, weights[1][key]), key
        assert values.abs().max() < 10, key
        assert values.ndim < 2 or values.std() > 1e-3, key  # memory that nobody wrote to is often zero


@torch.no_grad()
def test_the_autoencoder_takes_pictures_to_latents_a_quarter_as_wide_and_back(random_parts, pictures):
    latents = random_parts["vae"].encode(pictures * 2 - 1).latent_dist.mean
    assert latents.shape == (len(pictures), 4, 16, 16)
    assert random_parts["vae"].decode(latents).sample.shape == pictures.shape


# --- the tokenizer --------------------------------------------------------------------------------------------------


def test_every_word_of_the_world_is_one_token_of_its_own():
    tokenizer = models.build_tokenizer()
    ids = [tokenizer.encode(word, add_special_tokens=False) for word in VOCABULARY]
    assert all(len(word) == 1 for word in ids)
    assert len({word[0] for word in ids} - {tokenizer.unk_token_id}) == len(VOCABULARY)


def test_captions_are_between_end_marks_and_come_back_as_words():
    tokenizer = models.build_tokenizer()
    ids = tokenizer.encode("Two RED circles, a star")
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer.convert_ids_to_tokens(ids[1:-1]) == ["two", "red", "circles", ",", "a", "star"]
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("a zebra"))[2] == "<unk>"


def test_no_caption_is_too_long_for_the_models():
    tokenizer = models.build_tokenizer()
    assert max(len(tokenizer.encode(caption)) for caption in captioned_scenes(3000, seed=5)) <= models.TEXT_LENGTH


def test_pipeline_and_clip_read_texts_alike(pipe, scorer):
    texts = ["two red circles, a star and a zebra", "", " ".join(["red"] * 50)]
    ids = pipe.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert ids.shape == (3, models.TEXT_LENGTH)
    assert torch.equal(scorer.clip.tokenizer(texts), ids)


# --- saving and loading ---------------------------------------------------------------------------------------------


def test_only_safetensors_and_text_files_are_written(random_folder):
    files = [path for path in random_folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".md"}
    for folder in ("pipeline/unet", "pipeline/vae", "pipeline/text_encoder", "clip", "perceptual"):
        assert len(list((random_folder / folder).glob("*.safetensors"))) == 1, folder


def test_weights_are_saved_as_float16(random_folder):
    for path in random_folder.rglob("*.safetensors"):
        assert {values.dtype for values in load_file(path).values()} == {torch.float16}, path


def test_saving_leaves_the_models_as_they_were(random_parts, random_folder):
    for part in random_parts.values():
        assert {values.dtype for values in part.parameters()} == {torch.float32}


def test_diffusers_loads_the_pipeline_without_missing_or_foreign_weights(pipe, random_parts):
    for name in ("vae", "text_encoder", "unet"):
        assert_half_precision_copy(getattr(pipe, name), random_parts[name])
    assert pipe.safety_checker is None


@torch.no_grad()
def test_the_loaded_pipeline_computes_what_the_saved_models_did(pipe, random_parts, pictures):
    tokens = pipe.tokenizer(["a red star"], padding="max_length", return_tensors="pt").input_ids
    text = random_parts["text_encoder"](tokens).last_hidden_state
    torch.testing.assert_close(pipe.text_encoder(tokens).last_hidden_state, text, atol=0.01, rtol=0)
    latents = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        pipe.unet(latents, 500, text).sample, random_parts["unet"](latents, 500, text).sample, atol=0.01, rtol=0
    )
    for part in ("encode", "decode"):
        inputs = pictures * 2 - 1 if part == "encode" else latents
        loaded, saved = (getattr(vae, part)(inputs)[0] for vae in (pipe.vae, random_parts["vae"]))
        loaded, saved = (values.mean if part == "encode" else values for values in (loaded, saved))
        torch.testing.assert_close(loaded, saved, atol=0.01, rtol=0)


def test_the_pipeline_says_what_it_was_trained_to_predict(random_folder):
    scheduler = json.loads((random_folder / "pipeline" / "scheduler" / "scheduler_config.json").read_text())
    trained = models.training_scheduler().config
    for key in ("prediction_type", "beta_start", "beta_end", "beta_schedule", "num_train_timesteps"):
        assert scheduler[key] == trained[key], key


@torch.no_grad()
def test_open_clip_loads_the_clip_without_missing_or_foreign_weights(random_folder, random_parts, pictures):
    model = open_clip.create_model(f"local-dir:{random_folder / 'clip'}", precision="fp32").eval()
    assert_half_precision_copy(model, random_parts["clip"])
    tokens = open_clip.get_tokenizer(f"local-dir:{random_folder / 'clip'}")(["a red star", "a night sky"])
    for method, inputs in (("encode_text", tokens), ("encode_image", pictures * 2 - 1)):
        loaded, saved = (getattr(clip, method)(inputs, normalize=True) for clip in (model, random_parts["clip"]))
        torch.testing.assert_close(loaded, saved, atol=0.01, rtol=0)


@torch.no_grad()
def test_the_embedder_comes_back_from_its_folder(embedder, random_parts, pictures):
    assert_half_precision_copy(embedder, random_parts["embedder"])
    torch.testing.assert_close(
        embedder(pictures, pictures.flip(0)), random_parts["embedder"](pictures, pictures.flip(0)), atol=0.01, rtol=0
    )


def test_an_embedder_of_other_widths_comes_back_with_them(tmp_path, pictures):
    torch.manual_seed(1)
    model = PerceptualEmbedder(widths=(8, 16), embed_dim=24)
    save_embedder(model, tmp_path)
    assert load_embedder(tmp_path).embed(pictures).shape == (len(pictures), 24)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_embedder_without_its_files_names_the_file(random_folder, tmp_path, missing):
    shutil.copytree(random_folder / "perceptual", tmp_path / "perceptual")
    (tmp_path / "perceptual" / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        load_embedder(tmp_path / "perceptual")


def test_an_embedder_of_an_earlier_format_is_told_in_a_sentence(random_folder, tmp_path):
    shutil.copytree(random_folder / "perceptual", tmp_path / "perceptual")
    config = tmp_path / "perceptual" / "config.json"
    config.write_text(json.dumps({k: v for k, v in json.loads(config.read_text()).items() if k != "depth"}))
    with pytest.raises(ValueError, match="earlier format"):
        load_embedder(tmp_path / "perceptual")


# --- the perceptual distance ----------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_distance_is_zero_to_itself_symmetric_and_positive_otherwise(embedder, pictures):
    others = pictures.roll(1, dims=0)
    torch.testing.assert_close(embedder(pictures, pictures), torch.zeros(len(pictures)), atol=1e-5, rtol=0)
    torch.testing.assert_close(embedder(pictures, others), embedder(others, pictures))
    assert (embedder(pictures, others) > 1e-3).all()
    assert (embedder(pictures, others) <= 2).all()


@torch.no_grad()
def test_a_larger_picture_is_near_the_same_picture(embedder):
    scenes = list(captioned_scenes(8, seed=3).values())
    small, large = draw(scenes), draw(scenes, size=128)
    assert (embedder(small, large) < 0.1 * embedder(small, small.roll(1, dims=0))).all()
