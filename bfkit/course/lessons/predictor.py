"""Lesson 05: from words to curves (Eq. 6)."""

import torch

from bfkit.course.checking import Task
from bfkit.predictor.networks import BiLSTM
from bfkit.profiles import PredictorSettings


def forward(network, prompts):
    """Eq. 6 before its sigmoid: prompts (N, D) to one number a prompt and step of the grid, (N, G)."""
    encoding = network.inputs.step.weight
    inputs = network.inputs.scale * prompts[:, None, :] + encoding
    states, _ = network.lstm(inputs)
    return network.mlp(states).squeeze(-1)


def _network(plain: bool) -> BiLSTM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = PredictorSettings(layers=2, hidden=6, mlp=5, dropout=0.5, grid=(1, 2, 3, 5, 9), plain=plain)
        return BiLSTM(8, settings).eval()


def _cases() -> list[tuple]:
    prompts = torch.nn.functional.normalize(torch.arange(32.0).reshape(4, 8).sin(), dim=1)
    return [(_network(True), prompts), (_network(False), prompts), (_network(False), prompts[:1])]


def _inputs(network: BiLSTM, prompts: torch.Tensor, scale: bool = True) -> torch.Tensor:
    return (network.inputs.scale if scale else 1) * prompts[:, None, :] + network.inputs.step.weight


def _unscaled(network, prompts):
    return network.mlp(network.lstm(_inputs(network, prompts, scale=False))[0]).squeeze(-1)


def _no_step(network, prompts):
    rows = network.inputs.scale * prompts[:, None, :].expand(-1, len(network.inputs.step.weight), -1)
    return network.mlp(network.lstm(rows)[0]).squeeze(-1)


def _one_way(network, prompts):
    states = network.lstm(_inputs(network, prompts))[0].clone()
    states[..., network.lstm.hidden_size :] = 0
    return network.mlp(states).squeeze(-1)


def _last_state(network, prompts):
    states = network.lstm(_inputs(network, prompts))[0]
    return network.mlp(states[:, -1:].expand_as(states)).squeeze(-1)


def _across(network, prompts):
    states = network.lstm(_inputs(network, prompts).transpose(0, 1))[0].transpose(0, 1)
    return network.mlp(states).squeeze(-1)


def _surely(errors, model="BiLSTM", other="mean curve"):
    rows = errors.filter(model=model).join(errors.filter(model=other), on="metric")
    return set(rows.filter(rows["high"] < rows["low_right"])["metric"])


def _by_points(errors):
    rows = errors.filter(model="BiLSTM").join(errors.filter(model="mean curve"), on="metric")
    return set(rows.filter(rows["error"] < rows["error_right"])["metric"])


_FIGURE = """own = task.own(forward)  # yours once it is right, else the library's
shown = held_out["prompt"].unique(maintain_order=True).to_list()[:4]
network = advisor.predictors.networks["d_sim"]
logits = own(network.network, advisor.clip.embed_texts(shown)).detach()
scores = (network.low + (network.high - network.low) * logits.sigmoid()).cpu().numpy()
yours = [
    {"prompt": f"prompt {number}", "steps": step, "value": value}
    for number, row in enumerate(scores.tolist())
    for step, value in zip(advisor.predictors.settings.grid, row, strict=True)
]
print(*(f"prompt {number}: {text}" for number, text in enumerate(shown)), sep="\\n")
charts.small_multiples(pl.DataFrame(yours), "prompt", "D-SIM of held-out prompts, as the forward above draws it")"""

TASKS = (
    Task(
        "predictor.share",
        "where the parameters are",
        """Which share of the parameters in the figure, LSTM and MLP together, is the LSTM's?""",
        lambda parts: parts["lstm"] / (parts["lstm"] + parts["mlp"]),
        ("`parts` has the numbers that the figure shows.",),
        {
            "the MLP's": (lambda parts: parts["mlp"] / (parts["lstm"] + parts["mlp"]), "this is the MLP's share"),
            "a ratio": (lambda parts: parts["lstm"] / parts["mlp"], "this is a ratio; a share of both is asked for"),
            "one way": (lambda parts: parts["lstm"] / 2 / (parts["lstm"] / 2 + parts["mlp"]),
                        "this counts one direction alone; the LSTM goes both ways"),
        },
        code='share = parts["lstm"] / (parts["lstm"] + parts["mlp"])',
        given="parts",
        tolerance=0.01,
    ),
    Task(
        "predictor.forward",
        "the network yourself",
        """Write `forward(network, prompts)`: a prompt's embedding plus each step's, along the LSTM, and off its
states a number for each step. `network.inputs.step.weight` has a row for each of the G steps; `network.inputs.scale`
is what a prompt is multiplied by first; `network.lstm` takes (N, G, D) and returns its states first; `network.mlp`
takes states. The sigmoid comes later, and there is no dropout when a network is used. The figure that follows is
drawn by your function once it is right.""",
        forward,
        (
            "`prompts[:, None, :]` has the shape (N, 1, D): added to (G, D) it becomes (N, G, D).",
            "`states, _ = network.lstm(inputs)`; the MLP gives (N, G, 1), and `squeeze(-1)` takes the 1 away.",
        ),
        {
            "no step encoding": (_no_step, "the steps' embeddings are missing"),
            "no scale": (_unscaled, "the prompt is to be multiplied by `network.inputs.scale` first"),
            "one direction": (_one_way, "only one direction's states reach the MLP"),
            "the last state": (_last_state, "every step is read off the last state; each has a state of its own"),
            "along the prompts": (_across, "the LSTM walks from prompt to prompt; it should walk from step to step"),
            "a sigmoid": (lambda network, prompts: forward(network, prompts).sigmoid(), "the sigmoid comes later"),
        },
        cases=_cases,
        figure=_FIGURE,
        tolerance=1e-4,
    ),
    Task(
        "predictor.surely",
        "better, surely?",
        """On which metrics does the BiLSTM's whole interval lie below that of the mean curve? Read it off the figure
or off `errors` (`low`, `high`), and give the names, as in the column `metric`, in a list. It may be empty.""",
        _surely,
        ("Where two intervals overlap, this figure does not settle which error is the smaller.",),
        {
            "by the points": (_by_points, "this compares the points: look where the intervals end"),
            "turned round": (lambda errors: _surely(errors, "mean curve", "BiLSTM"),
                             "the direction is turned round: a smaller error is the better one"),
            "the nearest prompt": (lambda errors: _surely(errors, other="nearest prompt"),
                                   "this compares with the nearest prompt; the mean curve is asked for"),
        },
        code='own, mean = (errors.filter(model=name).sort("metric") for name in ("BiLSTM", "mean curve"))\n'
        'surely = own.filter(own["high"] < mean["low"])["metric"].to_list()',
        given="errors",
    ),
)  # fmt: skip
