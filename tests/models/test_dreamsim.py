"""DreamSim's real architecture on random weights, in files as they are published, against dreamsim's own model."""

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from dreamsim import dreamsim as published_dreamsim
from dreamsim.feature_extraction.vision_transformer import VisionTransformer
from dreamsim.model import PerceptualModel, dreamsim_args
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torchvision.transforms.functional import to_pil_image

from bfkit.metrics.scorer import load_scorer
from bfkit.mini.render import draw
from bfkit.mini.world import sample_scenes
from bfkit.models import dreamsim
from bfkit.models.dreamsim import BRANCHES, load_dreamsim, shrink

DOWNLOAD = torch.hub.download_url_to_file
SMALL = partial(  # twelve blocks, because dreamsim asks for the last one by its number
    VisionTransformer,
    embed_dim=24,
    depth=12,
    num_heads=3,
    mlp_ratio=2,
    qkv_bias=True,
    norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
)


@pytest.fixture
def small(monkeypatch) -> None:
    """ViTs of width 24 in place of ViT-B, in our loader and in dreamsim's."""
    monkeypatch.setattr(dreamsim, "vit_base", SMALL)
    for reader in ("load_clip_as_dino", "load_open_clip_as_dino"):
        monkeypatch.setattr(f"dreamsim.feature_extraction.{reader}.vit_base", SMALL)


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """The folder in which the weights are looked for, empty; nothing can be fetched, neither weights nor code."""

    def refuse(*_, **__):
        raise AssertionError("the network was asked for")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "load", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "hub" / "dreamsim"


@contextmanager
def dreamsims_own_code(folder: Path) -> Iterator[None]:
    """dreamsim as it is, but for DINO's code from GitHub: here the copy of it that dreamsim carries."""

    def load_dino(repository: str, name: str) -> torch.nn.Module:
        assert (repository, name) == ("facebookresearch/dino:main", "dino_vitb16")
        model = dreamsim.vit_base(patch_size=16)
        model.load_state_dict(torch.load(folder / dreamsim.DINO_FILE, weights_only=True))
        return model

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(torch.hub, "load", load_dino)
        patch.setattr(torch.hub, "_hub_dir", None)  # dreamsim points it at its own folder
        yield


def randomised(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model.state_dict()


def publish(branch: str, folder: Path) -> Path:
    """Random weights of a branch, laid out as dreamsim fills its ``cache_dir``; the adapters are written by peft."""
    torch.manual_seed(0)
    (folder / "checkpoints").mkdir(parents=True)
    settings = dreamsim_args["model_config"][branch]
    for name in settings["model_type"].split(","):
        model = dreamsim.vit_base(patch_size=int(name[-2:]))
        if name == "dino_vitb16":
            torch.save(randomised(model), folder / dreamsim.DINO_FILE)
            head = [f"mlp.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")] + ["last_layer.weight"]
            head = {f"module.head.{key}": torch.zeros(1) for key in head}  # dreamsim reads it and does not use it
            torch.save({"student": head}, folder / "dino_vitb16_pretrain.pth")
        else:
            model.pos_drop = torch.nn.LayerNorm(model.embed_dim)  # CLIP's norm in front of its blocks
            weights = randomised(model) | {"proj": torch.randn(model.embed_dim, 2 * model.embed_dim // 3)}
            torch.save({"state_dict": weights}, folder / f"{name}_pretrain.pth.tar")
    with dreamsims_own_code(folder):
        model = PerceptualModel(**settings, device="cpu", load_dir=str(folder))
        tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.3, target_modules=["qkv"]))
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        tuned.save_pretrained(folder / adapters(branch))
    return folder


def adapters(branch: str) -> str:
    return "ensemble_lora" if branch == "ensemble" else f"{branch}_single_lora"


def reference(branch: str, folder: Path) -> tuple[torch.nn.Module, Callable]:
    """What ``dreamsim()`` itself makes of a folder: its model and its preprocess."""
    with dreamsims_own_code(folder):
        return published_dreamsim(device="cpu", cache_dir=str(folder), dreamsim_type=branch)


def pictures(count: int, size: int = 224) -> torch.Tensor:
    return draw([scene for scene in sample_scenes(4 * count, seed=4) if scene.things][:count], size=size)


def check_distances(branch: str, folder: Path, count: int) -> None:
    """1 - cosine of our embeddings, each made once, is what dreamsim says of every pair."""
    model, _ = reference(branch, folder)
    images = pictures(count)
    with torch.inference_mode():
        rows = load_dreamsim(branch).embed(images)
        expected = torch.cat([model(images[:1], image[None]) for image in images[1:]])
    assert expected.std() > 1e-3
    torch.testing.assert_close(1 - rows[1:] @ rows[0], expected, atol=1e-5, rtol=1e-4)


# --- against dreamsim -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", BRANCHES)
def test_distances_are_dreamsims_own(small, cache, branch):
    check_distances(branch, publish(branch, cache), count=5)


@pytest.mark.slow
def test_distances_are_dreamsims_own_at_full_size(cache):
    check_distances("dino_vitb16", publish("dino_vitb16", cache), count=3)


@pytest.mark.parametrize("size", [64, 224, 512, 768])
def test_pictures_shrink_as_by_dreamsims_preprocess(small, cache, size):
    """PIL rounds to whole grey levels after each axis; drawn edges and noise overshoot as far as anything does."""
    _, preprocess = reference("clip_vitb32", publish("clip_vitb32", cache))
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = torch.cat([pictures(2, size), noise]).mul(255).round().div(255)  # what a PIL image can hold
    expected = torch.cat([preprocess(to_pil_image(image)) for image in images])
    assert (shrink(images) - expected).abs().max() < 1.2 / 255
    assert (shrink(images) - expected).abs().mean() < 0.3 / 255


def test_adapters_change_what_is_seen(small, cache):
    folder = publish("clip_vitb32", cache)
    before = load_dreamsim("clip_vitb32").embed(pictures(3))
    config = folder / "clip_vitb32_single_lora" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "lora_alpha": 0}))
    assert (load_dreamsim("clip_vitb32").embed(pictures(3)) - before).abs().max() > 1e-3


# --- as the project uses it -----------------------------------------------------------------------------------------


def test_rows_have_length_1_and_do_not_depend_on_the_batch(small, cache):
    publish("ensemble", cache)
    model, images = load_dreamsim("ensemble"), pictures(5, size=96)
    rows = model.embed(images)
    assert rows.shape == (5, 24 + 16 + 16)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(torch.cat([model.embed(image[None]) for image in images]), rows, atol=1e-5, rtol=0)


def test_a_profile_names_a_branch_and_every_picture_is_embedded_once(small, cache, random_profile):
    publish("open_clip_vitb32", cache)
    scorer = load_scorer(replace(random_profile, perceptual="dreamsim:open_clip_vitb32"))
    seen = []
    scorer.embed_perceptual.__self__.extractor_list[0].register_forward_hook(lambda *call: seen.append(len(call[1][0])))
    targets, images = pictures(3, size=64), pictures(6, size=64)[3:]
    target = scorer.features(targets)
    scores = [scorer.score(part, target)["d_sim"] for part in (images, images.flip(-1), targets)]
    assert sum(seen) == 4 * 3
    torch.testing.assert_close(scores[2], torch.zeros(3), atol=1e-5, rtol=0)
    assert (scores[0] > 1e-3).all()


def test_an_unknown_branch_is_refused_with_the_known_ones(random_profile):
    with pytest.raises(ValueError, match="unknown DreamSim branch 'dino': choose one of ensemble, dino_vitb16, "):
        load_scorer(replace(random_profile, perceptual="dreamsim:dino"))


# --- the files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(small, cache, monkeypatch, tmp_path) -> Path:
    """The ensemble's archive and DINO's weights at addresses that answer: a folder with ``archive.zip`` in it."""
    published = publish("ensemble", tmp_path / "published")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for path in published.rglob("*"):
            if "checkpoints" not in path.parts:  # DINO's own are not DreamSim's to publish
                archive.write(path, path.relative_to(published))
    monkeypatch.setattr(torch.hub, "download_url_to_file", DOWNLOAD)
    monkeypatch.setitem(dreamsim.dreamsim_weights, "ensemble", (tmp_path / "archive.zip").as_uri())
    monkeypatch.setattr(dreamsim, "DINO_URL", (published / dreamsim.DINO_FILE).as_uri())
    return tmp_path


def test_weights_are_fetched_once_and_no_more_than_is_needed(server, cache):
    rows = load_dreamsim("ensemble").embed(pictures(2))
    files = {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()}
    assert files == {
        dreamsim.DINO_FILE,
        "clip_vitb16_pretrain.pth.tar",
        "open_clip_vitb16_pretrain.pth.tar",
        "ensemble_lora/adapter_config.json",
        "ensemble_lora/adapter_model.safetensors",
    }
    (server / "archive.zip").unlink()
    shutil.rmtree(server / "published")
    assert torch.equal(load_dreamsim("ensemble").embed(pictures(2)), rows)


def test_an_archive_that_broke_off_leaves_nothing_and_the_next_run_fetches_it(server, cache):
    whole = (server / "archive.zip").read_bytes()
    (server / "archive.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileNotFoundError, match=r"archive\.zip is not DreamSim's archive .* unpack it in .*dreamsim$"):
        load_dreamsim("ensemble")
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    (server / "archive.zip").write_bytes(whole)
    assert load_dreamsim("ensemble").embed(pictures(2)).isfinite().all()


@pytest.mark.parametrize("gone", ["archive.zip", f"published/{dreamsim.DINO_FILE}"])
def test_without_a_network_one_sentence_says_what_to_put_where(server, cache, gone):
    (server / gone).unlink()
    with pytest.raises(FileNotFoundError, match=r"which cannot be fetched .* download it elsewhere and") as error:
        load_dreamsim("ensemble")
    assert (server / gone).as_uri() in str(error.value)
    assert str(cache) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["dino", "clip", "adapters"])
def test_a_damaged_file_is_named(small, cache, file):
    folder = publish("dino_vitb16" if file != "clip" else "clip_vitb32", cache)
    path = {
        "dino": folder / dreamsim.DINO_FILE,
        "clip": folder / "clip_vitb32_pretrain.pth.tar",
        "adapters": folder / "dino_vitb16_single_lora" / "adapter_model.safetensors",
    }[file]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is damaged or is not DreamSim's: delete it") as error:
        load_dreamsim("dino_vitb16" if file != "clip" else "clip_vitb32")
    assert path.name in str(error.value) or path.parent.name in str(error.value)
    assert "\n" not in str(error.value)


def test_adapters_that_lack_a_layer_are_refused(small, cache):
    path = publish("dino_vitb16", cache) / "dino_vitb16_single_lora" / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({key: value for key, value in weights.items() if ".blocks.7." not in key}, path)
    with pytest.raises(ValueError, match="dino_vitb16_single_lora is damaged or is not DreamSim's"):
        load_dreamsim("dino_vitb16")


class Intruder:
    """Runs code when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_does_not_run(small, cache, tmp_path):
    folder = publish("clip_vitb32", cache)
    torch.save({"state_dict": Intruder(tmp_path / "intruded")}, folder / "clip_vitb32_pretrain.pth.tar")
    with pytest.raises(ValueError, match=r"clip_vitb32_pretrain\.pth\.tar is damaged or is not DreamSim's"):
        load_dreamsim("clip_vitb32")
    assert not (tmp_path / "intruded").exists()
