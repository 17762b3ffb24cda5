"""What stands where on the page of results: the paper's figures and tables in its order, then what goes further.

What the paper shows is told in our words, with its numbers; everything else on the page is computed by a lesson's run.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A heading of the page, what the paper has there (if it has), and the figures and tables that stand under it."""

    title: str
    names: tuple[str, ...]
    paper: str = ""


# The findings in the order of the page: a lesson reports each as a sentence, and names the figure that it rests on.
FINDINGS = ("rule", "prompt", "predictor", "systems", "beyond")

PAPER = (
    Place(
        "Figure 1: what it is for",
        ("fig01",),
        "A prompt comes in, its number of steps is chosen before anything is drawn, and quality is weighed "
        "against cost.",
    ),
    Place(
        "Figure 2: two prompts",
        ("fig02",),
        "“A white and empty wall” beside “a colorful park with a crowd”: same steps, same cost, although the "
        "first could have been had for less.",
    ),
    Place(
        "Figure 3: from text to steps",
        ("fig03",),
        "The way of a prompt: three predicted curves, a plateau on each, the last of the three is t*, and the "
        "diffusion model then draws in that many steps.",
    ),
    Place(
        "Figure 4: the network",
        ("fig04",),
        "A bidirectional LSTM of two layers and 512 hidden values, unrolled over the steps, that reads the "
        "prompt's embedding plus the step's, with a three-layer MLP and a sigmoid on top; one such network a "
        "metric.",
    ),
    Place(
        "Figure 5: plateaus on the curves",
        ("fig05",),
        "Predicted curves of a few prompts with the step where each goes flat (Eq. 7), and their maximum.",
    ),
    Place(
        "Figure 6: too few steps, and enough",
        ("fig06",),
        "A column a metric: below the suggested steps a blurred, a distorted and a wrong picture (brown cows "
        "for black ones); at the suggested steps a good one.",
    ),
    Place(
        "Figure 7: around t*",
        ("fig07",),
        "Two prompts at rising step counts: from the count before t* to t* much changes, from there to the next"
        " little.",
    ),
    Place(
        "Table 1: is it the LSTM?",
        ("table1", "prediction"),
        "Mean absolute error .026, .037 and .031 for L-SNR, D-SIM and I-CLIP; .059, .239 and .134 without the "
        "encoding of the step (of the text, says the text); .068, .241 and .137 for an MLP with tanh.",
    ),
    Place(
        "Table 2: quality for the cost",
        ("table2", "efficiency"),
        "Quality over TFLOPs (Eq. 8): OURS .46, 1.38 and 1.48 hundredths, UNIFORM .42, 1.28 and 1.36, REFERENCE"
        " .25 in each; DDIM, DeepCache, DistriFusion and ancestral Euler below OURS at about the same cost.",
    ),
    Place(
        "Figure 8: beside UNIFORM, and on the clock",
        ("fig08a", "figure8", "fig08b"),
        "At equal cost OURS' quality is 6.6%, 8.4% and 8.7% above UNIFORM's (Eq. 9), and a picture takes 2.89 ±"
        " .87 s instead of 8.00 ± .039 s on an RTX 3090.",
    ),
    Place(
        "Figure 9: what people chose",
        ("fig09", "participants"),
        "72 people chose OURS before UNIFORM in 60.3 ± 3.9% of the trials, 78 before REFERENCE in 35.2 ± 8.4%.",
    ),
    Place(
        "Figure 10: asking which is nearer",
        ("fig10",),
        "A reference in the middle, OURS and UNIFORM at its sides: which of the two is more like it?",
    ),
    Place(
        "Figure 11: asking which is better",
        ("fig11",),
        "OURS beside REFERENCE: which of the two is the one of higher quality?",
    ),
    Place(
        "Figure 12: where the prediction errs",
        ("fig12",),
        "Error by metric and number of steps, with standard errors: low at every number of steps.",
    ),
    Place(
        "Figure 13: more prompts around t*",
        ("fig13",),
        "A prompt a row, by rising t*: pictures at rising step counts, t* in the middle, and the three curves "
        "beside them.",
    ),
)

FURTHER = (
    Place("What are a step, a latent, guidance?", ("unfolding", "denoising", "latent", "guidance", "flat", "tour")),
    Place("Does the miniature paint what it is asked?", ("painted", "ruler", "world", "inception")),
    Place("When does a picture show what was asked?", ("clocks", "unfinished", "verdicts")),
    Place(
        "How do pictures ripen?",
        ("mean_curves", "ripening", "monotonicity", "l_snr", "scoring_time", "dense", "dense_steps"),
    ),
    Place(
        "What does a prompt decide?", ("reliability", "ceiling", "ceilings", "knowing", "looks", "busy", "paraphrases")
    ),
    Place("Can words tell it?", ("agreement", "t_star", "paper_and_here", "needs", "synthetic")),
    Place(
        "Which rule?",
        ("kept", "weights", "choices", "oracle", "regret", "gap", "rules", "metrics", "ablation", "accuracy", "budget"),
    ),
    Place("What can be promised, and remembered?", ("promises", "memory")),
    Place("What else draws sooner?", ("systems", "combinations", "cost")),
    Place("Which prompts?", ("complexity", "nearest", "threshold")),
    Place(
        "What do the paper's numbers say about each other?",
        ("steps_of_ours", "jensen", "table2_back", "spread_of_steps"),
    ),
    Place("Other architectures", ("families", "company", "families_plan")),
)
