"""Embeddings, captions and unknown words of open_clip models, loaded from folders and from a hub as real ones are."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import open_clip
import pytest
import torch
from open_clip.coca_model import CoCa
from safetensors.torch import load_file, save_file
from torchvision.transforms.functional import to_pil_image

from bfkit.metrics.scorer import load_scorer
from bfkit.mini.captions import VOCABULARY
from bfkit.mini.render import draw
from bfkit.mini.world import captioned_scenes
from bfkit.models.captioning import WordByWord, whole_text
from bfkit.models.clip import CAPTION_TOKENS, Clip, load_clip

TEXTS = ["a white and empty wall", "two red circles on a beach", "a crowd", "a small teal star above a pink ring"]


@pytest.fixture(scope="module")
def clip(scorer) -> Clip:
    return scorer.clip


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return draw(list(captioned_scenes(12, seed=3).values()))


def likeliest_caption(clip: Clip, picture: torch.Tensor) -> str:
    """Greedy decoding of one picture by the whole model, from the pixels again at every word."""
    words = clip.tokenizer.tokenizer
    pixels = (picture[None] - 0.5) / 0.5
    text = [words.bos_token_id]
    while len(text) < clip.model.context_length and text[-1] != words.eos_token_id:
        with torch.no_grad():
            logits = clip.model(pixels, torch.tensor([text]), output_labels=False)["logits"]
        text.append(int(logits[0, -1].argmax()))
    return " ".join(word for word in words.convert_ids_to_tokens(text) if word not in words.all_special_tokens)


def test_embeddings_are_normalised_rows(clip, pictures):
    for rows in (clip.embed_texts(TEXTS), clip.embed_images(pictures)):
        assert rows.shape[1] == 128
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)), atol=1e-5, rtol=0)
    assert clip.embed_texts(TEXTS).shape[0] == len(TEXTS)


@pytest.mark.parametrize("block", [1, 3, 256])
def test_a_texts_embedding_does_not_depend_on_its_company(clip, block):
    texts = [*TEXTS, *captioned_scenes(7, seed=0)]
    alone = torch.cat([clip.embed_texts([text]) for text in texts])
    torch.testing.assert_close(clip.embed_texts(texts, block=block), alone, atol=1e-5, rtol=0)


def test_different_texts_have_different_embeddings_and_case_does_not_matter(clip):
    rows = clip.embed_texts(TEXTS)
    assert (rows @ rows.T - torch.eye(len(TEXTS))).max() < 0.9999
    torch.testing.assert_close(clip.embed_texts([text.upper() for text in TEXTS]), rows)


def test_words_out_of_sight_of_the_model_do_not_matter(clip):
    long = " ".join(["red"] * 40)
    torch.testing.assert_close(clip.embed_texts([long]), clip.embed_texts([long + " blue green"]))


def test_a_larger_picture_is_seen_as_the_same_picture(clip):
    scenes = list(captioned_scenes(8, seed=3).values())
    small, large = clip.embed_images(draw(scenes)), clip.embed_images(draw(scenes, size=160))
    assert (small * large).sum(1).min() > 0.97
    assert (small @ large.T).argmax(1).tolist() == list(range(8))


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a red circle on a beach", []),
        ("A Red CIRCLE, on a beach!", []),
        ("a zebra and another zebra on a beach", ["zebra", "another"]),
        ("Zebra.", ["zebra"]),
        ("", []),
    ],
)
def test_unknown_words_are_named_once_in_order(clip, text, unknown):
    assert clip.unknown_words(text) == unknown


def test_every_word_of_the_world_is_known(clip):
    assert clip.unknown_words(" ".join(VOCABULARY)) == []
    assert clip.words(" ".join(VOCABULARY)) == list(VOCABULARY)


def test_captions_are_those_of_a_slow_loop_over_single_pictures(clip, pictures):
    captions = clip.caption(pictures)
    assert list(captions) == [likeliest_caption(clip, picture) for picture in pictures]
    assert len({len(caption.split()) for caption in captions}) > 1, "they should end at different words"


def test_captions_are_words_of_the_world_one_text_a_picture(clip, pictures):
    captions = clip.caption(pictures)
    assert len(captions) == len(pictures)
    assert len(set(captions)) > 3
    assert {word for caption in captions for word in caption.split()} <= {*VOCABULARY, ","}


@pytest.mark.parametrize("missing", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_folder_without_its_files_is_refused_naming_the_file(random_folder, tmp_path, missing):
    folder = tmp_path / "clip"
    shutil.copytree(random_folder / "clip", folder)
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing) as error:
        load_clip(folder)
    assert str(folder) in str(error.value)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_clip(tmp_path / "nowhere")


def test_folders_may_be_named_by_text_or_path(random_folder, clip):
    again = load_clip(str(random_folder / "clip"))
    assert torch.equal(again.embed_texts(TEXTS), clip.embed_texts(TEXTS))


# --- CoCa as it is published: open_clip's configuration, its own tokenizer ------------------------------------------

BEGIN, END = 49406, 49407


@pytest.fixture(scope="module")
def coca_folder(tmp_path_factory) -> Path:
    """coca_ViT-L-14 with fewer and narrower layers and random weights, as open_clip publishes a model."""
    config = open_clip.get_model_config("coca_ViT-L-14")
    config["embed_dim"] = 32
    config["vision_cfg"] |= {"image_size": 56, "layers": 2, "width": 64}
    config["text_cfg"] |= {"width": 32, "heads": 4, "layers": 2}
    config["multimodal_cfg"] |= {"width": 32, "heads": 4, "layers": 2, "attn_pooler_heads": 4}
    torch.manual_seed(0)
    model = CoCa(**{key: value for key, value in config.items() if key != "custom_text"})
    with torch.no_grad():  # it should say something, something else about each picture, and come to an end
        torch.nn.init.normal_(model.text_decoder.text_projection, std=0.1)
        model.text.token_embedding.weight *= 20
        for block in model.text_decoder.cross_attn:
            block.attn.out_proj.weight *= 4
        ending = torch.nn.functional.normalize(torch.randn(32), dim=0)
        model.text.positional_embedding[5:] += 10 * ending
        model.text_decoder.text_projection[:, BEGIN] = 0
        model.text_decoder.text_projection[:, END] = ending
    folder = tmp_path_factory.mktemp("coca")
    preprocess = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def coca(coca_folder) -> Clip:
    return load_clip(coca_folder)


def drawn(size: int) -> torch.Tensor:
    """Drawn scenes in whole grey levels."""
    return draw(list(captioned_scenes(8, seed=3).values()), size=size).mul(255).round().div(255)


def caption_of_open_clip(folder: Path, picture: torch.Tensor, longest: int = CAPTION_TOKENS) -> str:
    """Greedy decoding by nothing but open_clip: its transform of a PIL image, its model from the pixels, its decode."""
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    pixels = preprocess(to_pil_image(picture))[None]
    text = [BEGIN]
    while len(text) < longest and text[-1] != END:
        with torch.no_grad():
            logits = model.eval()(pixels, torch.tensor([text]), output_labels=False)["logits"]
        text.append(int(logits[0, -1].argmax()))
    spelled = open_clip.decode(torch.tensor(text))
    return spelled.split("<end_of_text>")[0].replace("<start_of_text>", "").strip()


def test_a_published_coca_captions_as_a_slow_loop_over_single_pictures(coca, coca_folder):
    pictures = drawn(56)
    captions = coca.caption(pictures)
    assert list(captions) == [caption_of_open_clip(coca_folder, picture) for picture in pictures]
    assert len(set(captions)) > 3
    assert len({len(coca.tokenizer.encode(caption)) for caption in captions}) > 1, "they should end at different words"


@pytest.mark.parametrize("right", [False, True], ids=["masked as published", "masked as meant"])
@torch.inference_mode()
def test_word_by_word_the_logits_are_those_of_the_whole_text(coca, monkeypatch, right):
    """Also behind a padding's token, which is a word of CLIP's as well: "!"."""
    monkeypatch.setattr(coca.model.text, "correct_cls_mask", right)
    latent, tokens = coca.model._encode_image(coca._prepare(drawn(56)[:2]))
    text = torch.tensor([[BEGIN, 320, coca.model.pad_id, 1237, 9, END, END], [BEGIN, 1, 2, 3, 4, 5, 6]])
    assert WordByWord.serves(coca.model)
    kept = WordByWord(coca.model, tokens)
    for length in range(1, text.shape[1] + 1):
        expected = whole_text(coca.model, text[:, :length], latent, tokens)
        torch.testing.assert_close(kept(text[:, :length]), expected, atol=1e-4, rtol=1e-4)


def test_captions_from_the_whole_text_are_the_same(coca, monkeypatch):
    captions = coca.caption(drawn(56))
    monkeypatch.setattr(WordByWord, "serves", staticmethod(lambda _: False))
    assert coca.caption(drawn(56)) == captions


def test_a_caption_that_does_not_end_is_cut(coca, coca_folder, tmp_path):
    shutil.copytree(coca_folder, tmp_path / "endless")
    weights = load_file(coca_folder / "open_clip_model.safetensors")
    weights["text_decoder.text_projection"][:, END] = 0
    save_file(weights, tmp_path / "endless" / "open_clip_model.safetensors")
    endless, picture = load_clip(tmp_path / "endless"), drawn(56)[0]
    assert endless.caption(picture[None]) == (caption_of_open_clip(tmp_path / "endless", picture),)
    assert len(endless.caption(picture[None])[0]) > len(coca.caption(picture[None])[0])
    assert CAPTION_TOKENS >= 30, "open_clip's own limit"


def test_a_published_coca_embeds_as_open_clip_does(coca, coca_folder):
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{coca_folder}")
    with torch.no_grad():
        texts = model.encode_text(open_clip.get_tokenizer("coca_ViT-L-14")(TEXTS), normalize=True)
        torch.testing.assert_close(coca.embed_texts(TEXTS), texts, atol=1e-5, rtol=0)
        for size in (56, 200):
            pictures = drawn(size)
            pixels = torch.stack([preprocess(to_pil_image(picture)) for picture in pictures])
            images = model.encode_image(pixels, normalize=True)
            # PIL rounds to whole grey levels when it shrinks
            torch.testing.assert_close(coca.embed_images(pictures), images, atol=1e-5 if size == 56 else 0.01, rtol=0)


def test_a_tokenizer_that_spells_words_in_pieces_knows_them_all(coca):
    assert coca.unknown_words("a zebra, a flibbertigibbet and 東京") == []


def test_a_model_without_a_text_decoder_says_so_before_anything_is_drawn(random_profile, coca, tmp_path):
    config = {"embed_dim": 32, "vision_cfg": {"image_size": 56, "layers": 1, "width": 64, "patch_size": 14}}
    config["text_cfg"] = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 1}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(open_clip.model.CLIP(**config).state_dict(), tmp_path / "open_clip_model.safetensors")
    profile = replace(random_profile, clip=str(tmp_path))
    with pytest.raises(ValueError, match='does not write captions: set i_clip="image"'):
        load_clip(tmp_path).caption(drawn(56))
    with pytest.raises(ValueError, match='does not write captions: set i_clip="image"'):
        load_scorer(profile)
    scorer = load_scorer(replace(profile, i_clip="image"))
    scores = scorer.score(drawn(64), scorer.features(drawn(64)))
    torch.testing.assert_close(scores["i_clip"], torch.ones(8), atol=1e-5, rtol=0)


# --- models from a hub ----------------------------------------------------------------------------------------------


@pytest.fixture
def hub(coca_folder, tmp_path, monkeypatch) -> Iterator[Path]:
    """A hub at home: repositories are folders ``ORGANISATION/NAME`` below the one given back; "gated/..." is locked."""
    root = tmp_path / "hub"
    shutil.copytree(coca_folder, root / "lab" / "coca")

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            repository, _, name = self.path.strip("/").partition("/resolve/main/")
            path = root / repository / name
            content = path.read_bytes() if path.is_file() else b""
            error = "GatedRepo" if repository.startswith("gated/") else "RepoNotFound"
            error = "EntryNotFound" if (root / repository).is_dir() else error
            self.send_response(200 if content else {"GatedRepo": 403, "RepoNotFound": 401}.get(error, 404))
            if not content:
                self.send_header("X-Error-Code", error)
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{hash(content):x}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if body else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield root
    server.shutdown()
    server.server_close()


def go_offline(monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_a_repository_is_fetched_once_and_then_read_without_a_network(hub, coca, monkeypatch):
    pictures = drawn(56)
    assert load_clip("hf-hub:lab/coca").caption(pictures) == coca.caption(pictures)
    go_offline(monkeypatch)
    assert torch.equal(load_clip("hf-hub:lab/coca").embed_texts(TEXTS), coca.embed_texts(TEXTS))


def test_a_model_of_open_clips_is_named_with_its_weights(hub, coca, coca_folder, monkeypatch):
    config = json.loads((coca_folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "coca_small", config)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "coca_small", {"lab": {"hf_hub": "lab/coca/"}})
    assert load_clip("coca_small/lab").caption(drawn(56)) == coca.caption(drawn(56))


def test_weights_that_come_as_a_pickle_are_read_without_running_it(hub, coca, tmp_path):
    weights = hub / "lab" / "coca" / "open_clip_model.safetensors"
    pickled = weights.with_name("open_clip_pytorch_model.bin")
    torch.save(load_file(weights), pickled)
    weights.unlink()
    assert torch.equal(load_clip("hf-hub:lab/coca").embed_texts(TEXTS), coca.embed_texts(TEXTS))

    class Intruder:
        def __reduce__(self):
            return Path.touch, (tmp_path / "intruded",)

    shutil.copytree(hub / "lab" / "coca", hub / "lab" / "bad")
    torch.save({"state_dict": Intruder()}, hub / "lab" / "bad" / pickled.name)
    with pytest.raises(FileNotFoundError, match="open_clip cannot load hf-hub:lab/bad"):
        load_clip("hf-hub:lab/bad")
    assert not (tmp_path / "intruded").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf-hub:gated/coca", "is gated: accept its licence .* local folder"),
        ("hf-hub:lab/nothing", "there is no model .* log in with .* local folder"),
        ("hf-hub:lab", "is a repository without an open_clip model in it"),
    ],
)
def test_a_repository_that_cannot_be_read_gets_a_sentence(hub, name, sentence):
    with pytest.raises(FileNotFoundError, match=sentence) as error:
        load_clip(name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["hf-hub:lab/coca", "coca_ViT-L-14/mscoco_finetuned_laion2b_s13b_b90k"])
def test_without_a_network_the_way_out_is_a_folder(hub, monkeypatch, name):
    go_offline(monkeypatch)
    with pytest.raises(
        FileNotFoundError, match=r"cannot be reached: connect once to fetch it, or name .* a local folder"
    ):
        load_clip(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("coca_ViT-L-14/mscoco", "coca_ViT-L-14/mscoco_finetuned_laion2b_s13b_b90k"),
        ("coca_ViTL14/laion2b_s13b_b90k", "coca_ViT-L-14/laion2b_s13b_b90k"),
        ("weights of mine", "open_clip.list_pretrained()"),
    ],
)
def test_a_name_that_open_clip_does_not_know_is_answered_with_those_near_it(name, near):
    with pytest.raises(ValueError, match=f"{name!r} is neither a folder nor a model of open_clip's: try ") as error:
        load_clip(name)
    assert near in str(error.value)


def test_damaged_weights_are_named(coca_folder, tmp_path):
    shutil.copytree(coca_folder, tmp_path / "coca")
    weights = tmp_path / "coca" / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(FileNotFoundError, match=r"open_clip cannot load .*coca"):
        load_clip(tmp_path / "coca")
