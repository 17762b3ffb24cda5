"""Lesson 08: which rule, and how much could any rule gain?"""

import numpy as np

from bfkit.course.checking import Task
from bfkit.predictor.rules import loss

from ._bundled import held_out_curves


def price_rule(losses, price):
    """Each prompt's steps with the least loss plus price: losses (N, T), a column a step, to steps (N,)."""
    steps = np.arange(1, losses.shape[1] + 1)
    return (losses + price * steps).argmin(axis=1) + 1


def _cases() -> list[tuple]:
    measured = loss(held_out_curves()[1])
    step = np.array([[0.5, 0.3, 0.3, 0.3, 0.05, 0.0]])  # flat, then a gain that pays for the flat stretch
    return [(measured, 0.01), (measured, 0.001), (measured, 1e-4), (step, 0.05)]


def _first_crossing(losses, price):
    dear = np.hstack([losses[:, :-1] - losses[:, 1:] < price, np.ones((len(losses), 1), bool)])
    return dear.argmax(axis=1) + 1


def _one_for_all(losses, price):
    steps = np.arange(1, losses.shape[1] + 1)
    return np.full(len(losses), (losses.mean(axis=0) + price * steps).argmin() + 1)


def _cell(rules, budgets, curves="predicted"):
    rows = rules.filter(budget=min(budgets), curves=curves, rule="price", metric="all")
    return rows["saved"].item(), rows["loss"].item()


def _saved(rules, budgets, curves="predicted"):
    saved, left = _cell(rules, budgets, curves)
    return saved / (saved + left)


def _near(missed, under=True, over=True):
    row = missed.filter(condition="OURS").row(0, named=True)
    return 1 - under * row["under"] - over * row["over"]


_FIGURE = """from bfkit.predictor.rules import Rule, at_mean_cost, knob_for, loss

own = task.own(price_rule)  # yours once it is right, else the library's
yours = Rule("yours", lambda curves, price: own(loss(curves), price), cheap=1.0, dear=-1.0)
dealt = yours.steps(predicted, knob_for(yours, predicted, budgets[1]))
charts.against_oracle(
    dealt,
    at_mean_cost("price", measured, budgets[1]),
    f"At {dealt.mean():.1f} steps on average the price deals out {dealt.min()} to {dealt.max()}",
    "a dot a prompt: your rule on predicted curves, against the same on measured ones",
)"""

TASKS = (
    Task(
        "rules.near",
        "read it off the band",
        """For which share of the held-out prompts are OURS' steps within the band around ORACLE's, neither too few
nor too many? Read it off the figure's title.""",
        _near,
        ("All prompts are too few, too many, or near; the title names the first two.",),
        {
            "too few": (lambda missed: 1 - _near(missed, over=False), "this is the share with too few steps"),
            "not too few": (lambda missed: _near(missed, over=False), "those with too many steps are still in it"),
            "all that miss": (lambda missed: 1 - _near(missed), "this is the share *outside* the band"),
        },
        code='ours = missed.filter(condition="OURS").row(0, named=True)\nnear = 1 - ours["under"] - ours["over"]',
        given="missed",
        tolerance=0.01,
    ),
    Task(
        "rules.price_rule",
        "the price rule yourself",
        """Write `price_rule(losses, price)`. `losses` holds what each prompt still lacks, a column for each step
from 1 on. Each step costs `price`; return for each prompt the number of steps at which loss and cost together are
least. The figure that follows is drawn by your function once it is right.""",
        price_rule,
        (
            "Add `price * steps` to every row, `steps` being 1, 2, ..., T.",
            "`argmin(axis=1)` gives a column's index, and column 0 is step 1.",
        ),
        {
            "index for step": (lambda losses, price: price_rule(losses, price) - 1, "off by one: column 0 is step 1"),
            "first crossing": (_first_crossing, "it stops at the first step that gains too little, though a later gain "
                               "may pay for the way there: compare all the steps"),
            "the price subtracted": (lambda losses, price: price_rule(losses, -price),
                                     "the direction of the price is turned round: steps cost, they do not pay"),
            "one for all": (_one_for_all, "all the prompts get the same steps: the least is to be found row by row"),
            "no price": (lambda losses, price: losses.argmin(axis=1) + 1, "steps seem to cost nothing"),
        },
        cases=_cases,
        figure=_FIGURE,
    ),
    Task(
        "rules.saved",
        "what a rule saves",
        """At the smallest of the `budgets`, which share of UNIFORM's loss does the price rule save on *predicted*
curves, by all metrics (`metric` is `all`)? The table `rules` has the loss that is left in `loss`, and UNIFORM's less
that in `saved`.""",
        _saved,
        ("UNIFORM's loss is `saved + loss` of the same row.",),
        {
            "of its own loss": (lambda rules, budgets: np.divide(*_cell(rules, budgets)),
                                "this is a share of the rule's own loss; UNIFORM's is larger or smaller by `saved`"),
            "no share": (lambda rules, budgets: _cell(rules, budgets)[0],
                         "this is the loss saved; a share of UNIFORM's loss is asked for"),
            "measured curves": (lambda rules, budgets: _saved(rules, budgets, "measured"),
                                "this rule has read the measured curves, the very noise that judges it"),
        },
        code='cheapest = rules.filter(budget=min(budgets), curves="predicted", rule="price", metric="all")\n'
        'saved = (cheapest["saved"] / (cheapest["saved"] + cheapest["loss"])).item()',
        given="rules, budgets",
        tolerance=1e-5,
    ),
)  # fmt: skip
