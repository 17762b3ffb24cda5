"""Lesson 02: denoising steps, guidance, and what they cost."""

import torch

from bfkit import paper
from bfkit.course.checking import Task


def euler(held, believed, level, following):
    """One step: what there is at a noise level, moved to the following one along the noise that is believed in it."""
    noise = (held - believed) / level
    return believed + following * noise


def guided(without, with_words, strength):
    """What the denoiser says without words, moved by so many times the difference that the words make."""
    return without + strength * (with_words - without)


def _states() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 3, 3, generator=generator), torch.randn(2, 4, 3, 3, generator=generator)


def _noisier(held, believed, level, following):
    return believed + level * (held - believed) / max(following, 1e-9)


def _evaluations(shared=True):
    return sum(paper.STEP_COUNTS) - shared * (len(paper.STEP_COUNTS) - 1)


TASKS = (
    Task(
        "generation.euler",
        "a step of Euler's yourself",
        """What there is, `held`, is a picture plus `level` times noise. The denoiser believes the picture to be
`believed`. Write `euler(held, believed, level, following)`: the same belief with the same noise on it, but only
`following` times, for the next step starts there.""",
        euler,
        (
            "Which noise does the belief leave? `held - believed` is `level` times it.",
            "With `following` at 0 the answer is the belief itself.",
        ),
        {
            "to the end": (lambda held, believed, level, following: believed,
                           "this goes all the way to the belief; the next step still has noise"),
            "all the noise": (lambda held, believed, level, following: believed + following * (held - believed),
                              "`held - believed` is not the noise but `level` times it"),
            "nothing moved": (lambda held, believed, level, following: held, "nothing has moved"),
            "turned round": (_noisier, "the two levels are turned round: noise is to become less"),
        },
        cases=lambda: [(*_states(), 14.6, 3.2), (*_states(), 0.7, 0.1)],
    ),
    Task(
        "generation.guided",
        "guidance yourself",
        """Write `guided(without, with_words, strength)`: what the denoiser says without words, plus `strength`
times the difference that the words make.""",
        guided,
        ("At a strength of 1 the answer is what it says with words, at 0 what it says without.",),
        {
            "strength beside one": (lambda without, with_words, strength: guided(without, with_words, strength + 1),
                                    "at a strength of 1 the words would count twice"),
            "turned round": (lambda without, with_words, strength: guided(with_words, without, strength),
                             "the difference is turned round: it drives away from the words"),
            "no difference": (lambda without, with_words, strength: without + strength * with_words,
                              "what it says with words is added, not the difference that they make"),
        },
        cases=lambda: [(*_states(), 3.0), (*_states(), 1.0)],
    ),
    Task(
        "generation.evaluations",
        "how often is the denoiser asked?",
        """One prompt and one seed are drawn at all the step counts of `paper.STEP_COUNTS`. The first evaluation is
the same for all, and is made once. How many evaluations are made?""",
        lambda: _evaluations(),
        ("Without sharing it would be `sum(paper.STEP_COUNTS)`. How many are made more than once?",),
        {
            "not shared": (lambda: _evaluations(False), "the first evaluation is made for every step count again"),
            "none at the first": (lambda: _evaluations() - 1, "the shared evaluation must be made, once"),
            "the longest": (lambda: max(paper.STEP_COUNTS),
                            "only the first evaluation is shared: the others lie at other timesteps"),
        },
        code="evaluations = sum(paper.STEP_COUNTS) - (len(paper.STEP_COUNTS) - 1)",
    ),
)  # fmt: skip
