"""The one training loop of the miniature: seeded, resumable after a kill, on CPU or CUDA."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm


@dataclass(frozen=True)
class Stage:
    """How long and how fast one model learns."""

    steps: int
    batch: int
    rate: float
    decay: float = 0.01
    average: float = 0.0  # of the weights (EMA); 0 for none


Loss = Callable[[int, torch.Generator], dict[str, torch.Tensor]]


def _learning_rate(stage: Stage, step: int) -> float:
    warm = min(1.0, (step + 1) / max(1, stage.steps // 30))
    return stage.rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / stage.steps)))


def _save_checkpoint(path: Path, step: int, parts: dict[str, dict[str, torch.Tensor]], history: dict) -> None:
    """All parts in one safetensors file, replaced in one move so that a kill leaves the old one or the new one."""
    flat = {
        f"{part}/{key}": value.contiguous().cpu() for part, tensors in parts.items() for key, value in tensors.items()
    }
    temporary = path.with_suffix(".tmp")
    save_file(flat, temporary, metadata={"step": str(step), "history": json.dumps(history)})
    os.replace(temporary, path)


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    states = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, state in states.items() for name, value in state.items()
    }


def _restore_moments(optimizer: torch.optim.Optimizer, flat: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def fit(name: str, model: nn.Module, loss: Loss, stage: Stage, seed: int, work: Path, device: torch.device) -> dict:
    """Minimise the sum of ``loss(step, generator)`` over ``stage.steps``; resumes from ``work/name.safetensors``.

    Leaves the averaged weights in ``model`` if the stage averages. Returns the last losses, seconds and steps.
    """
    path = work / f"{name}.safetensors"
    model.to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=stage.rate, weight_decay=stage.decay, betas=(0.9, 0.99), fused=True
    )
    average = (
        {key: value.detach().clone().float() for key, value in model.state_dict().items()} if stage.average else {}
    )
    start, history = 0, {"seconds": 0.0, "losses": {}}
    if path.exists():
        try:
            with safe_open(path, "pt") as file:
                start, history = int(file.metadata()["step"]), json.loads(file.metadata()["history"])
            flat = load_file(path, device=str(device))
        except SafetensorError as error:
            raise ValueError(f"the checkpoint {path} is damaged ({error}): delete it to start {name} again") from None
        parts: dict[str, dict] = {"model": {}, "average": {}, "moments": {}}
        for key, value in flat.items():
            part, rest = key.split("/", 1)
            parts[part][rest] = value
        model.load_state_dict(parts["model"])
        average = {key: parts["average"][key] for key in average}  # a file has its own order
        _restore_moments(optimizer, parts["moments"])
    began, saved, running = time.monotonic(), time.monotonic(), dict(history["losses"])
    spent = history["seconds"]
    bar = tqdm(range(start, stage.steps), desc=name, initial=start, total=stage.steps, mininterval=2.0)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(stage, step)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        # with the miniature's short sequences, plain attention is several times faster to differentiate on a CPU
        with torch.autocast(device.type, torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            losses = loss(step, generator)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"{name}: the loss is not finite at step {step}; lower its rate ({stage.rate})")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if average:
            keep = min(stage.average, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.values()), list(model.state_dict().values()), 1 - keep)
        if step % 20 == 0 or step + 1 == stage.steps:
            running = {key: round(0.9 * running.get(key, v.item()) + 0.1 * v.item(), 5) for key, v in losses.items()}
            bar.set_postfix(running)
        if time.monotonic() - saved > 120 or step + 1 == stage.steps:
            saved = time.monotonic()
            history = {"seconds": spent + saved - began, "losses": running}
            parts = {"model": model.state_dict(), "average": average, "moments": _moments(optimizer)}
            _save_checkpoint(path, step + 1, parts, history)
    if average:
        model.load_state_dict(average)
    model.eval()
    return {**history, "steps": stage.steps}
