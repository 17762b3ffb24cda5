"""The training loop learns, averages, and ends at the same weights whether or not it was interrupted."""

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from bfkit.mini.trainer import Stage, fit, learning_rate, read_checkpoint

CPU = torch.device("cpu")
STAGES = {
    "plain": Stage(steps=60, batch=16, rate=0.05),
    "averaged": Stage(steps=60, batch=16, rate=0.05, average=0.9),
}


class Killed(Exception):
    """Stands for whatever ends a process."""


class Task:
    """A line to be found from samples; notes weights and loss of every step, and is killed at one of them."""

    def __init__(self, stage: Stage, killed_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Linear(3, 1)
        self.stage, self.killed_at = stage, killed_at
        self.seen: dict[int, torch.Tensor] = {}
        self.losses: list[float] = []
        self.samples: set[float] = set()

    def loss(self, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if step == self.killed_at:
            raise Killed
        self.seen[step] = self.model.weight.detach().clone()
        inputs = torch.randn(self.stage.batch, 3, generator=generator)
        self.samples.add(inputs.sum().item())
        targets = inputs @ torch.tensor([[1.0], [-0.5], [0.25]]) + 0.5
        error = self.model(inputs).float() - targets
        self.losses.append(error.square().mean().item())
        return {"squares": error.square().mean(), "absolute": 0.1 * error.abs().mean()}

    def run(self, work, seed: int = 0) -> dict:
        return fit("line", self.model, self.loss, self.stage, seed, work, CPU)


@pytest.fixture
def frequent_checkpoints(monkeypatch):
    """A clock that runs so fast that a checkpoint is due every few steps."""
    clock = itertools.count(step=25.0)
    monkeypatch.setattr("bfkit.mini.trainer.time", SimpleNamespace(monotonic=lambda: next(clock)))


def assert_same_weights(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for name, values in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], values, msg=name)


def test_a_line_is_learnt_and_the_report_says_how(tmp_path):
    task = Task(Stage(steps=300, batch=64, rate=0.05, decay=0.0))
    report = task.run(tmp_path)
    torch.testing.assert_close(task.model.weight.data, torch.tensor([[1.0, -0.5, 0.25]]), atol=0.05, rtol=0)
    torch.testing.assert_close(task.model.bias.data, torch.tensor([0.5]), atol=0.05, rtol=0)
    assert report["steps"] == 300
    assert len(task.samples) == 300, "every step has noise of its own"
    assert set(report["losses"]) == {"squares", "absolute"}
    assert 0 < report["losses"]["squares"] < task.losses[0] / 2
    assert report["seconds"] > 0
    assert not task.model.training


def test_the_seed_decides_the_result(tmp_path):
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        task = Task(STAGES["plain"])
        (tmp_path / str(number)).mkdir()
        task.run(tmp_path / str(number), seed)
        weights.append(task.model.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("killed_at", [9, 33, 59])
def test_a_killed_training_resumed_ends_at_the_weights_of_an_undisturbed_one(
    tmp_path, frequent_checkpoints, stage, killed_at
):
    undisturbed = Task(STAGES[stage])
    (tmp_path / "undisturbed").mkdir()
    undisturbed.run(tmp_path / "undisturbed")

    killed = Task(STAGES[stage], killed_at)
    with pytest.raises(Killed):
        killed.run(tmp_path)
    resumed = Task(STAGES[stage])
    report = resumed.run(tmp_path)

    first = min(resumed.seen)
    assert 0 < first <= killed_at, "it goes on from a checkpoint"
    assert report["steps"] == 60
    assert_same_weights(undisturbed.model, resumed.model)
    for step, weights in resumed.seen.items():
        torch.testing.assert_close(weights, undisturbed.seen[step])


def test_a_training_killed_twice_still_ends_at_the_same_weights(tmp_path, frequent_checkpoints):
    undisturbed = Task(STAGES["averaged"])
    (tmp_path / "undisturbed").mkdir()
    undisturbed.run(tmp_path / "undisturbed")
    for killed_at in (20, 45):
        with pytest.raises(Killed):
            Task(STAGES["averaged"], killed_at).run(tmp_path)
    resumed = Task(STAGES["averaged"])
    resumed.run(tmp_path)
    assert_same_weights(undisturbed.model, resumed.model)


@pytest.mark.parametrize("stage", STAGES)
def test_a_finished_training_run_again_does_nothing_and_gives_the_same_model(tmp_path, stage):
    first = Task(STAGES[stage])
    report = first.run(tmp_path)
    before = (tmp_path / "line.safetensors").read_bytes()
    again = Task(STAGES[stage], killed_at=0)
    assert again.run(tmp_path) == report
    assert again.seen == {}
    assert_same_weights(first.model, again.model)
    assert (tmp_path / "line.safetensors").read_bytes() == before


def test_averaged_weights_lie_among_those_the_training_went_through(tmp_path):
    averaged, plain = Task(STAGES["averaged"]), Task(STAGES["plain"])
    for task in (averaged, plain):
        (tmp_path / str(task.stage.average)).mkdir()
        task.run(tmp_path / str(task.stage.average))
    assert all(torch.equal(averaged.seen[step], plain.seen[step]) for step in range(60))
    assert not torch.allclose(averaged.model.weight, plain.model.weight)
    last = torch.stack([averaged.seen[step] for step in range(30, 60)] + [plain.model.weight.detach()])
    assert (averaged.model.weight >= last.amin(0)).all()
    assert (averaged.model.weight <= last.amax(0)).all()


def test_the_checkpoint_is_replaced_in_one_move(tmp_path, frequent_checkpoints, monkeypatch):
    """Killed while a checkpoint is being written, the training goes on from the one before."""
    with pytest.raises(Killed):
        Task(STAGES["plain"], killed_at=20).run(tmp_path)
    before = (tmp_path / "line.safetensors").read_bytes()

    def half_a_file(tensors, path, metadata=None):
        path.write_bytes(b"\0" * 100)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("bfkit.mini.trainer.save_file", half_a_file)
        with pytest.raises(Killed):
            Task(STAGES["plain"]).run(tmp_path)
    assert (tmp_path / "line.safetensors").read_bytes() == before
    resumed, undisturbed = Task(STAGES["plain"]), Task(STAGES["plain"])
    resumed.run(tmp_path)
    (tmp_path / "undisturbed").mkdir()
    undisturbed.run(tmp_path / "undisturbed")
    assert_same_weights(undisturbed.model, resumed.model)


@pytest.mark.parametrize("keep", [0, 7, 60, 0.5, -1])
def test_a_damaged_checkpoint_is_named_in_a_sentence(tmp_path, keep):
    Task(STAGES["plain"]).run(tmp_path)
    path = tmp_path / "line.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=r"line\.safetensors"):
        Task(STAGES["plain"]).run(tmp_path)


def test_a_loss_that_is_not_a_number_ends_the_training_with_a_sentence(tmp_path):
    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        error = model(torch.ones(1, 1)).square().mean()
        return {"squares": error / 0 if step == 4 else error}

    model = torch.nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match=r"line: the loss is not finite at step 4.*0\.05"):
        fit("line", model, loss, STAGES["plain"], 0, tmp_path, CPU)
    assert all(values.isfinite().all() for values in model.parameters())


def test_the_checkpoint_holds_float_tensors_by_name_and_no_pickle(tmp_path):
    Task(STAGES["averaged"]).run(tmp_path)
    names = load_file(tmp_path / "line.safetensors").keys()
    assert {name.split("/")[0] for name in names} == {"model", "average", "moments"}
    assert [path.name for path in tmp_path.iterdir()] == ["line.safetensors"]


def test_the_rate_rises_stays_and_falls_in_the_last_steps():
    stage = Stage(steps=100, batch=1, rate=2.0, warm=10, cool=20)
    rates = [learning_rate(stage, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert set(rates[10:81]) == {2.0}
    assert rates[80:] == pytest.approx([2.0 * (20 - i) / 20 for i in range(20)])


def test_a_training_can_be_finished_early_and_still_go_on_as_if_it_had_not(tmp_path, frequent_checkpoints):
    stage = Stage(steps=60, batch=16, rate=0.05, warm=5, cool=10)
    undisturbed, stopped, resumed = Task(stage), Task(stage, killed_at=30), Task(stage)
    (tmp_path / "undisturbed").mkdir()
    undisturbed.run(tmp_path / "undisturbed")
    with pytest.raises(Killed):
        stopped.run(tmp_path)
    before = (tmp_path / "line.safetensors").read_bytes()

    finished = Task(stage)
    report = fit("line", finished.model, finished.loss, stage, 0, tmp_path, CPU, finish=True)
    assert len(finished.seen) == 10
    assert report["steps"] == min(finished.seen) + 10
    assert (tmp_path / "line.safetensors").read_bytes() == before
    again = Task(stage, killed_at=0)
    fit("line", again.model, again.loss, stage, 0, tmp_path, CPU, finish=True)
    assert_same_weights(finished.model, again.model)

    resumed.run(tmp_path)
    assert_same_weights(undisturbed.model, resumed.model)


def test_pictures_are_counted_over_batches_of_different_sizes(tmp_path):
    first = Task(Stage(steps=10, batch=16, rate=0.05))
    assert first.run(tmp_path)["pictures"] == 160
    second = Task(Stage(steps=15, batch=32, rate=0.05))
    assert second.run(tmp_path)["pictures"] == 320


def test_a_training_without_a_checkpoint_starts_from_the_weights_it_is_given(tmp_path):
    task = Task(Stage(steps=1, batch=16, rate=0.0))
    before = task.model.weight.detach().clone()
    task.run(tmp_path)
    assert torch.equal(task.seen[0], before)


SHARED = """
import sys
from pathlib import Path
import torch
from bfkit.mini.trainer import Stage, fit

torch.manual_seed(0)
model = torch.nn.Linear(3, 1)


def loss(number, generator):
    inputs = torch.randn(8, 3, generator=generator)
    return {"squares": (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()}


fit("line", model, loss, Stage(steps=20, batch=8, rate=0.05), 3, Path(sys.argv[1]), torch.device("cpu"))
"""


@pytest.mark.slow
def test_two_processes_learn_as_one_that_sees_both_their_batches(tmp_path):
    (tmp_path / "shared.py").write_text(SHARED)
    alone = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")} | {"OMP_NUM_THREADS": "1"}
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", tmp_path / "shared.py", tmp_path]
    subprocess.run([sys.executable, *command], env=alone, check=True, capture_output=True, timeout=300)
    step, history, parts = read_checkpoint(tmp_path / "line.safetensors")
    assert (step, history["pictures"]) == (20, 20 * 8 * 2)

    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)

    def loss(step: int, _: torch.Generator) -> dict[str, torch.Tensor]:
        own = [torch.Generator().manual_seed(3 * 1_000_003 + 2 * step + rank) for rank in (0, 1)]
        inputs = torch.cat([torch.randn(8, 3, generator=generator) for generator in own])
        return {"squares": (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()}

    fit("line", model, loss, Stage(steps=20, batch=16, rate=0.05), 3, tmp_path / "one", CPU)
    for name, values in model.state_dict().items():
        torch.testing.assert_close(parts["model"][name], values, atol=1e-5, rtol=1e-5)
