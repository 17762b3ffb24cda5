"""The one training loop of the miniature: seeded, resumable after a kill, stopped at any time, on CPU or CUDA.

Under ``torchrun`` several processes share each batch and mean their gradients. On two CPU cores two of one thread each
(OMP_NUM_THREADS=1) took 104 pictures a second where one of two threads took 44: threads of OpenMP wait for each other.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

SAVE_EVERY = 120  # seconds


@dataclass(frozen=True)
class Stage:
    """How long and how fast one model learns: the rate rises, stays, and falls to nothing in the last steps."""

    steps: int
    batch: int
    rate: float
    decay: float = 0.01
    average: float = 0.0  # of the weights (EMA); 0 for none
    warm: int = 100  # steps in which the rate rises
    cool: int = 0  # steps at the end in which it falls


Loss = Callable[[int, torch.Generator], dict[str, torch.Tensor]]


def learning_rate(stage: Stage, step: int) -> float:
    """The rate of one step: warm-up, constant, linear decay ("warmup-stable-decay", arXiv 2404.06395).

    A constant rate needs no end to be known: the decay can be run from any checkpoint, and the training goes on from
    the one before it.
    """
    return stage.rate * min(1.0, (step + 1) / max(1, stage.warm), (stage.steps - step) / max(1, stage.cool))


def low_precision(device: torch.device) -> AbstractContextManager:
    """bfloat16 where the hardware computes in it; elsewhere it is emulated, four times slower than float32."""
    cpu_can = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if device.type == "cuda" or (device.type == "cpu" and cpu_can):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def _save_checkpoint(path: Path, step: int, parts: dict[str, dict[str, torch.Tensor]], history: dict) -> None:
    """All parts in one safetensors file, replaced in one move so that a kill leaves the old one or the new one."""
    flat = {
        f"{part}/{key}": value.contiguous().cpu() for part, tensors in parts.items() for key, value in tensors.items()
    }
    temporary = path.with_suffix(".tmp")
    save_file(flat, temporary, metadata={"step": str(step), "history": json.dumps(history)})
    os.replace(temporary, path)


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> tuple[int, dict, dict[str, dict]]:
    """The step, the history and the parts ``model``, ``average`` and ``moments`` of a checkpoint.

    Raises ValueError for a damaged file, with its name.
    """
    try:
        with safe_open(path, "pt") as file:
            step, history = int(file.metadata()["step"]), json.loads(file.metadata()["history"])
        flat = load_file(path, device=str(device))
    except SafetensorError as error:
        raise ValueError(f"the checkpoint {path} is damaged ({error}): delete it to start {path.stem} again") from None
    parts: dict[str, dict] = {"model": {}, "average": {}, "moments": {}}
    for key, value in flat.items():
        part, rest = key.split("/", 1)
        parts[part][rest] = value
    return step, history, parts


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


def _lay_out(model: nn.Module, device: torch.device, memory_format: torch.memory_format) -> nn.Module:
    return model.to(device, memory_format=memory_format)  # pyright: ignore[reportCallIssue]  missing from torch's overloads


def join_processes() -> int:
    """How many processes share each batch: those that ``torchrun`` has started, or this one alone."""
    if dist.is_torchelastic_launched() and not dist.is_initialized():
        dist.init_process_group("gloo")
    return dist.get_world_size() if dist.is_initialized() else 1


def _mean_gradients(trained: list[nn.Parameter], processes: int) -> None:
    gradients = [p.grad for p in trained if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient)).div_(processes)


def fit(
    name: str,
    model: nn.Module,
    loss: Loss,
    stage: Stage,
    seed: int,
    work: Path,
    device: torch.device,
    finish: bool = False,
) -> dict:
    """Minimise the sum of ``loss(step, generator)`` over ``stage.steps``; resumes from ``work/name.safetensors``.

    Without a checkpoint it starts from the weights that ``model`` has, moments at rest. ``finish`` runs the last
    ``stage.cool`` steps now, from where the checkpoint is, into a checkpoint of their own, so that the training can be
    continued later as if it had not been finished. Leaves the averaged weights in ``model`` if the stage averages.
    Of several processes each gets numbers of its own for ``step``, and a generator by them; the first one writes.
    Returns the last losses, seconds, steps and pictures seen.
    """
    processes = join_processes()
    rank = dist.get_rank() if processes > 1 else 0
    path = work / f"{name}.safetensors"
    work.mkdir(parents=True, exist_ok=True)
    _lay_out(model, device, torch.channels_last).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    fused = all(p.is_floating_point() for p in trained)
    optimizer = torch.optim.AdamW(trained, lr=stage.rate, weight_decay=stage.decay, betas=(0.9, 0.99), fused=fused)
    average = (
        {key: value.detach().clone().float() for key, value in model.state_dict().items()} if stage.average else {}
    )
    start, history = 0, {"seconds": 0.0, "losses": {}, "pictures": 0}
    ending = work / f"{name}-finished.safetensors"
    if path.exists():
        source = ending if finish and ending.exists() and ending.stat().st_mtime > path.stat().st_mtime else path
        start, history, parts = read_checkpoint(source, device)
        model.load_state_dict(parts["model"])
        average = {key: parts["average"].get(key, parts["model"][key].float()) for key in average}
        _restore_moments(optimizer, parts["moments"])
    if finish:
        stage = replace(stage, steps=history.get("end", start + stage.cool))
        path = ending
    began, saved, running = time.monotonic(), time.monotonic(), dict(history["losses"])
    spent, seen = (
        history["seconds"],
        history.get("pictures", start * stage.batch * processes) - start * stage.batch * processes,
    )
    bar = tqdm(range(start, stage.steps), desc=name, initial=start, total=stage.steps, mininterval=10.0,
               disable=rank > 0)  # fmt: skip
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, step)
        number = step * processes + rank
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        with low_precision(device), sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
            losses = loss(number, generator)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"{name}: the loss is not finite at step {step}; lower its rate ({stage.rate})")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        if processes > 1:
            _mean_gradients(trained, processes)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if average:
            keep = min(stage.average, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.values()), [v.float() for v in model.state_dict().values()], 1 - keep)
        if step % 20 == 0 or step + 1 == stage.steps:
            running = {key: round(0.9 * running.get(key, v.item()) + 0.1 * v.item(), 5) for key, v in losses.items()}
            bar.set_postfix(running)
        if rank == 0 and (time.monotonic() - saved > SAVE_EVERY or step + 1 == stage.steps):
            saved = time.monotonic()
            history = {
                "seconds": spent + saved - began,
                "losses": running,
                "pictures": seen + (step + 1) * stage.batch * processes,
            }
            if finish:
                history["end"] = stage.steps
            parts = {"model": model.state_dict(), "average": average, "moments": _moments(optimizer)}
            _save_checkpoint(path, step + 1, parts, history)
    if average:
        model.load_state_dict(average)
    _lay_out(model, device, torch.contiguous_format).eval()
    return {**history, "steps": max(start, stage.steps)}
