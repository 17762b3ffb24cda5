"""Embeddings, captions and unknown words of an open_clip folder, loaded as a real one is."""

import shutil
from pathlib import Path

import pytest
import torch

from bfkit.clip import Clip, load_clip
from bfkit.mini.world import VOCABULARY, captioned_scenes, draw

TEXTS = ["a white and empty wall", "two red circles on a beach", "a crowd", "a small teal star above a pink ring"]


@pytest.fixture(scope="module")
def clip(judges) -> Clip:
    return judges.clip


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
