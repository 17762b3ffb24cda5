"""What pays on a GPU, one change at a time, in about ten minutes: Stable Diffusion 2 and its judges, random weights.

The table has the same rows everywhere; where there is no GPU, each says "not measured".
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from bfkit import paper
from bfkit.devices import device_name, synchronize
from bfkit.files import write_file
from bfkit.memory import is_out_of_memory, release
from bfkit.models.architectures import build_unet, build_vae
from bfkit.models.pipelines import use_scheduler
from bfkit.predictor.model import CurvePredictor
from bfkit.profiles import PROFILES, PredictorSettings, Profile
from bfkit.report.artifacts import to_markdown
from bfkit.sampling.decoding import most_at_once

from . import sd2_gpu, tf32

NOT_MEASURED, TOO_LARGE = "not measured", "does not fit"
BATCHES, DECODED = (1, 16, 32), (8, 14, 15, 32)
KERNELS = ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION")
HEADS = (64, 5, 9216, 64)  # the queries of SD2's largest self-attention: 32 guided pictures of 768 pixels
TEXT_WIDTH = 768  # of the prompt embeddings that the paper's predictor reads


@dataclass
class Stack:
    """What is measured, at the published sizes unless smaller ones are given."""

    device: torch.device
    unet: torch.nn.Module = field(default_factory=lambda: build_unet("sd2", "cuda", torch.bfloat16))
    vae: Any = field(default_factory=lambda: build_vae("sd2", "cuda", torch.bfloat16))
    size: int = paper.IMAGE_SIZE
    heads: tuple[int, ...] = HEADS
    predictor: PredictorSettings = PredictorSettings()

    def seconds(self, work: Callable[[], Any], repeats: int = 5) -> float:
        """The mean of a few calls, after one that is not counted."""
        work()
        synchronize(self.device)
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        synchronize(self.device)
        return (time.perf_counter() - began) / repeats

    @torch.inference_mode()
    def evaluations(self, batch: int) -> float:
        """Guided evaluations of the denoiser a second, as it is."""
        profile: Profile = replace(PROFILES["sd2"], dtype="bfloat16", image_size=self.size, batch=batch)
        pipe = sd2_gpu.build_pipeline(self.unet, self.device, torch.bfloat16, self.vae)
        use_scheduler(pipe, profile)
        return sd2_gpu.evaluations_a_second(pipe, profile, batch)

    @torch.inference_mode()
    def decoded(self, batch: int, part: int) -> float:
        """Pictures decoded a second, ``part`` of the batch at once."""
        side = self.size // 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        latents = torch.randn((batch, 4, side, side), device=self.device, dtype=torch.bfloat16)
        return batch / self.seconds(lambda: [self.vae.decode(rows) for rows in latents.split(part)], 3)

    @torch.inference_mode()
    def attention(self, kernel: str) -> float:
        """Milliseconds of one self-attention."""
        rows = torch.randn(self.heads, device=self.device, dtype=torch.bfloat16)
        with sdpa_kernel(getattr(SDPBackend, kernel)):
            return 1e3 * self.seconds(lambda: F.scaled_dot_product_attention(rows, rows, rows))

    def training(self, device: torch.device) -> float:
        """Milliseconds of one batch of a predictor's training, of the paper's size."""
        network = CurvePredictor(TEXT_WIDTH, self.predictor).to(device)
        optimizer = torch.optim.Adam(network.parameters())
        texts = torch.randn((self.predictor.batch, TEXT_WIDTH), device=device)
        curves = torch.rand((self.predictor.batch, len(self.predictor.grid)), device=device)

        def step() -> None:
            optimizer.zero_grad()
            F.mse_loss(network(texts), curves).backward()
            optimizer.step()

        return 1e3 * self.seconds(step, 3)

    @torch.inference_mode()
    def prediction(self) -> float:
        """Milliseconds of the three curves of one prompt."""
        networks = [CurvePredictor(TEXT_WIDTH, self.predictor).to(self.device).eval() for _ in paper.METRICS]
        text = torch.randn((1, TEXT_WIDTH), device=self.device)
        return 1e3 * self.seconds(lambda: [network(text).cpu() for network in networks])

    def channels_last(self, module: torch.nn.Module) -> None:
        module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  missing from torch's overloads

    def compile(self) -> None:
        self.unet.forward = torch.compile(self.unet.forward)


Row = tuple[str, str, str, Callable[[Stack], float]]  # what, how, unit, and what measures it


def _then(change: Callable[[Stack], None], measure: Callable[[Stack], float]) -> Callable[[Stack], float]:
    def both(stack: Stack) -> float:
        change(stack)
        return measure(stack)

    return both


def rows() -> Iterator[Row]:
    """All that is measured, in order: a change, once made, stays for the rows after it."""
    changes: tuple[tuple[str, Callable[[Stack], None]], ...] = (
        ("as loaded", lambda stack: None),
        ("+ channels_last", lambda stack: stack.channels_last(stack.unet)),
        ("+ compiled", lambda stack: stack.compile()),
    )
    for how, change in changes:
        for batch in BATCHES:
            once = change if batch == BATCHES[0] else changes[0][1]
            measure = _then(once, lambda stack, batch=batch: stack.evaluations(batch))
            yield "denoiser evaluations", f"batch {batch}, {how}", "1/s", measure
    for batch in DECODED:
        yield "decoding", f"{batch} at once, as loaded", "pictures/s", lambda s, n=batch: s.decoded(n, n)
    for number, batch in enumerate(DECODED):
        once = (lambda stack: stack.channels_last(stack.vae)) if number == 0 else changes[0][1]
        measure = _then(once, lambda s, n=batch: s.decoded(n, min(n, most_at_once(s.vae, s.size))))
        yield "decoding", f"{batch} in slices that fit, channels_last", "pictures/s", measure
    for kernel in KERNELS:
        name = kernel.lower().removesuffix("_attention")
        yield "self-attention", name, "ms", lambda stack, kernel=kernel: stack.attention(kernel)
    for where in ("cpu", "GPU"):
        at = (lambda stack: torch.device("cpu")) if where == "cpu" else (lambda stack: stack.device)
        yield "training the predictor", f"a batch, {where}", "ms", lambda stack, at=at: stack.training(at(stack))
    yield "the three curves of a prompt", "GPU", "ms", lambda stack: stack.prediction()


def measure(stack: Stack | None) -> pl.DataFrame:
    """Rows of ``what, how, value, unit``, the value as text; without a stack, nothing is measured."""
    found = []
    for what, how, unit, work in tqdm(list(rows()), "on the GPU", disable=stack is None):
        found.append({"what": what, "how": how, "value": _value(stack, work), "unit": unit})
    return pl.DataFrame(found)


def _value(stack: Stack | None, work: Callable[[Stack], float]) -> str:
    if stack is None:
        return NOT_MEASURED
    try:
        return f"{work(stack):.4g}"
    except RuntimeError as error:
        release()
        if is_out_of_memory(error):
            return TOO_LARGE
        return f"fails: {str(error).splitlines()[0][:80]}"


def _summary(device: torch.device) -> pl.DataFrame:
    """What ``bfkit bench`` measures of the whole, in the same form."""
    found = {**sd2_gpu.measure(device), **tf32.measure(device)}
    values = {name: entry["value"] if isinstance(entry["value"], str) else f"{entry['value']:.4g}"
              for name, entry in found.items()}  # fmt: skip
    return pl.DataFrame(
        [{"what": name, "how": "", "value": values[name], "unit": found[name]["unit"]} for name in found]
    )


def run(out: Path, device: torch.device) -> pl.DataFrame:
    """Measure and write ``out/gpu.json`` and a table of it; "not measured" where the device is no GPU."""
    table = pl.concat([measure(Stack(device) if device.type == "cuda" else None), _summary(device)])
    noted = {
        "torch": torch.__version__,
        "device": device_name(device) if device.type == "cuda" else None,
        "rows": table.to_dicts(),
    }
    write_file(out / "gpu.json", f"{json.dumps(noted, indent=2)}\n".encode())
    write_file(out / "tables" / "gpu.md", f"{to_markdown(table)}\n".encode())
    return table
