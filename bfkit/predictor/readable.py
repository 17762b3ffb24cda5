"""Which prompts a text model can read, said before anything is predicted of them."""

import warnings
from collections.abc import Sequence

from bfkit.models.clip import Clip
from bfkit.sampling.generate import check_prompts


def refusal(prompt: str, clip: Clip, examples: Sequence[str]) -> str | None:
    """Why nothing can be predicted of a prompt, in a sentence with examples that can be read; None where it can."""
    if not prompt.strip():
        return "a prompt is empty: describe a picture in words"
    unknown = clip.unknown_words(prompt)
    if not unknown or len(unknown) < len(clip.words(prompt)):
        return None
    known = "; ".join(repr(example) for example in examples[:3])
    return f"no word of {prompt!r} is known to this model; it knows prompts such as {known}"


def check_readable(prompts: Sequence[str] | str, clip: Clip, examples: Sequence[str]) -> list[str]:
    """The prompts, warned of words that the text model does not know; ValueError naming all of which it knows none."""
    prompts = check_prompts(prompts)
    refused = {prompt: said for prompt in prompts if (said := refusal(prompt, clip, examples))}
    if refused:
        first, *others = refused
        named = ", ".join(map(repr, others))
        raise ValueError(refused[first] + (f"; nor is one of {named}: leave these prompts out" if others else ""))
    for prompt in prompts:
        if unknown := clip.unknown_words(prompt):
            warnings.warn(
                f"{prompt!r}: this model does not know {', '.join(map(repr, unknown))} and reads past them",
                stacklevel=4,
            )
    return prompts
