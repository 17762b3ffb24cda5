"""Lesson 03: three ways to see the same change (Eq. 2-4)."""

import torch

from bfkit.course.checking import Task
from bfkit.metrics.l_snr import L_SNR_VARIANTS, gaussian_blur, l_snr, luminance
from bfkit.mini import world


def filtered_away(pictures):
    """Eq. 2: the share of its variance that a Gaussian takes away from each picture; (N, 3, H, W) to (N,)."""
    gray = luminance(pictures)
    whole = gray.flatten(1).var(dim=1)
    lost = (gray - gaussian_blur(gray)).flatten(1).var(dim=1)
    return lost / whole.clamp(min=1e-6)


def _cases() -> list[tuple]:
    scenes = world.draw(world.sample_scenes(3, seed=5))
    noise = torch.rand(scenes[:1].shape, generator=torch.Generator().manual_seed(0))
    blue = torch.cat([scenes[:1, :2], noise[:, 2:]], dim=1)  # noise that luminance hardly sees
    return [(torch.cat([scenes, 0.5 * scenes[:1] + 0.5 * noise, blue]),), (torch.full((1, 3, 16, 16), 0.5),)]


def _variances(pictures: torch.Tensor, dims: int = 1) -> tuple[torch.Tensor, ...]:
    gray = luminance(pictures)
    parts = (gray - gaussian_blur(gray), gray, gaussian_blur(gray))
    return tuple((part.flatten(1).var(dim=1) if dims else part.var().expand(len(gray))) for part in parts)


def _of_blurred(pictures):
    lost, _, left = _variances(pictures)
    return lost / left.clamp(min=1e-6)


def _whole_batch(pictures):
    lost, whole, _ = _variances(pictures, 0)
    return lost / whole.clamp(min=1e-6)


def _channel_mean(pictures):
    return filtered_away(pictures.mean(1, keepdim=True).expand_as(pictures))


def _fooled(noise, ladder, turned=False):
    score = {name: (l_snr(noise, name) - l_snr(ladder[-1:], name)).item() for name in L_SNR_VARIANTS}
    return {name for name, difference in score.items() if (difference > 0 if turned else difference < 0)}


def _time_share(timings, metric="i_clip", side=max):
    rows = timings.filter(side=side(timings["side"]))
    return rows.filter(metric=metric)["milliseconds"].sum() / rows["milliseconds"].sum()


TASKS = (
    Task(
        "metrics.l_snr",
        "Equation 2 yourself",
        """Write `filtered_away(pictures)` for pictures of shape (N, 3, H, W): how much of each picture's variance is
in what the Gaussian takes away, $\\operatorname{var}(I - G \\circledast I) / \\operatorname{var}(I)$, on luminance.
It returns one number a picture, 0 for a flat one. `luminance` and `gaussian_blur` are there. In section 3 it stands
for the reading called `residual`.""",
        filtered_away,
        (
            "`gray = luminance(pictures)` has the shape (N, 1, H, W); `gray.flatten(1).var(dim=1)` is one variance a "
            "picture.",
            "A flat picture has a variance of 0, and 0/0 is no number: keep the divisor above a tiny floor.",
        ),
        {
            "what is left": (lambda p: 1 - filtered_away(p), "this is the share that the filter leaves"),
            "of the blurred": (_of_blurred, "the divisor is the variance of the blurred copy, not of the picture"),
            "a root": (lambda p: filtered_away(p).sqrt(), "these are standard deviations; Eq. 2 divides variances"),
            "the whole batch": (_whole_batch, "one variance was taken over all the pictures together"),
            "mean of the channels": (_channel_mean, "the channels are averaged; `luminance` weighs them"),
        },
        cases=_cases,
        tolerance=5e-3,
    ),
    Task(
        "metrics.fooled",
        "who likes noise?",
        """All four readings are meant as *lower is better*. Which of them call pure noise better than the finished
picture, the last of the ladder? Give their names in a list.""",
        _fooled,
        ("`l_snr(noise, name)` and `l_snr(ladder[-1:], name)` for each name in `L_SNR_VARIANTS`.",),
        {
            "direction": (lambda noise, ladder: _fooled(noise, ladder, True),
                          "the direction is turned round: a lower L-SNR is meant to be the better one"),
            "the first picture": (lambda noise, ladder: _fooled(noise, ladder[:1]),
                                  "this compares with the first of the ladder; the last one is finished"),
            "all": (lambda noise, ladder: set(L_SNR_VARIANTS), "not all of them: compare their numbers"),
        },
        code="noise = torch.rand(ladder[-1:].shape, generator=torch.Generator().manual_seed(0)).to(ladder)\n"
        "fooled = [name for name in L_SNR_VARIANTS if l_snr(noise, name) < l_snr(ladder[-1:], name)]",
        given="noise, ladder",
    ),
    Task(
        "metrics.seen",
        "read it off the captions",
        """At how many steps does the model first write the very caption that it writes under the target?""",
        lambda captions, steps: steps[list(captions).index(captions[-1])],
        ("The target is the last row. Go down the column of captions to the first that is word for word the same.",),
        {
            "a place": (lambda captions, steps: list(captions).index(captions[-1]),
                        "this is the row's place in the table; the number of steps is asked for"),
            "the row before": (lambda captions, steps: steps[max(0, list(captions).index(captions[-1]) - 1)],
                               "one row off: at this number of steps the caption is still another"),
            "a count": (lambda captions, steps: len(set(captions)), "this is how many captions differ"),
        },
        code="first = steps[list(captions).index(captions[-1])]",
        given="captions, steps",
    ),
    Task(
        "metrics.time",
        "read it off the clock",
        """On the largest pictures timed, which share of the measuring time is I-CLIP's? Read it off the figure, as a
number from 0 to 1; five hundredths more or less are right.""",
        _time_share,
        ("Add the three times at the right end of the figure; divide the captions' by the sum.",),
        {
            "against the rest": (lambda timings: 1 / (1 / _time_share(timings) - 1),
                                 "this compares with the other two; a share of all three is asked for"),
            "the smallest": (lambda timings: _time_share(timings, side=min), "this is at the smallest pictures"),
            "L-SNR": (lambda timings: _time_share(timings, "l_snr"), "this is L-SNR's share"),
        },
        code='largest = timings.filter(side=timings["side"].max())\n'
        'clock = largest.filter(metric="i_clip")["milliseconds"].item() / largest["milliseconds"].sum()',
        given="timings",
        tolerance=0.03,
    ),
)  # fmt: skip
