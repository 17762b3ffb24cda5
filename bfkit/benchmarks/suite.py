"""Speed, measured side by side: ours beside what one would write first, in one run, on the hardware it names.

Both of a pair do the same work and are called in turn after a warm-up; what counts is the ratio, pair by pair.
"""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import numpy as np
import polars as pl
import torch
from dreamsim.feature_extraction.vision_transformer import vit_base
from tqdm.auto import tqdm

from bfkit import paper
from bfkit.dataset.captions import mini_captions
from bfkit.dataset.measure import measure_prompts
from bfkit.dataset.prompts import select_dissimilar
from bfkit.devices import device_name
from bfkit.files import write_file
from bfkit.metrics.l_snr import VISIBLE, l_snr, luminance
from bfkit.metrics.scorer import load_scorer
from bfkit.models.dreamsim import SIDE, DreamSim, Tower
from bfkit.models.pipelines import calling, load_pipeline
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import get_profile
from bfkit.report.artifacts import to_markdown
from bfkit.sampling import generate
from bfkit.sampling.conditioning import embed
from bfkit.sampling.counting import counting
from bfkit.sampling.looked import go_on, look_at

from . import sd2_gpu, tf32
from .queries import queries
from .timing import side_by_side

CPU = torch.device("cpu")

# --- one function a pair: what it is, beside what, and how large -----------------------------------------------------


def generation(
    device: torch.device = CPU, count: int = 2, step_counts: tuple[int, ...] = (1, 2, 3, 5, 9, 17)
) -> dict[str, Any]:
    """All step counts of some prompts and seeds, as the engine draws them and by diffusers' plain call, one by one."""
    profile = get_profile("mini")
    pipe = load_pipeline(profile, device)
    texts = list(mini_captions(count))
    pairs = [(text, seed) for text in texts for seed in profile.seeds]

    def ours() -> None:
        conditioning = embed(pipe, profile, [text for text, _ in pairs], [seed for _, seed in pairs])
        with counting(pipe, profile, share_first=True) as count:
            for steps in reversed(step_counts):
                generate.sample(pipe, profile, conditioning, steps)
                count.take()

    def plain() -> None:
        for text, seed in pairs:
            for steps in step_counts:
                calling(pipe)(text, num_inference_steps=steps, generator=torch.Generator().manual_seed(seed),
                     guidance_scale=profile.guidance, output_type="pt")  # fmt: skip

    pictures = len(pairs) * len(step_counts)
    return {"what": "generation", "plain": "diffusers, picture by picture", "size": f"{pictures} miniature pictures",
            **side_by_side(ours, plain, device=device)}  # fmt: skip


def d_sim(device: torch.device = CPU) -> dict[str, Any]:
    """D-SIM of a picture set: each of twelve pictures embedded once, and eleven pairs of them one by one.

    DreamSim's DINO ViT-B/16 with random weights: what it costs does not depend on them.
    """
    torch.manual_seed(0)
    model = DreamSim([Tower(vit_base(patch_size=16), None, (0.5,) * 3, (0.5,) * 3)]).eval().to(device)
    images = torch.rand((len(paper.STEP_COUNTS), 3, SIDE, SIDE), device=device)

    @torch.inference_mode()
    def ours() -> torch.Tensor:
        rows = model.embed(images)
        return 1 - rows[:-1] @ rows[-1]

    @torch.inference_mode()
    def plain() -> torch.Tensor:
        target = images[-1:]
        return torch.cat([1 - (model.embed(image[None]) * model.embed(target)).sum(-1) for image in images[:-1]])

    torch.testing.assert_close(ours(), plain(), atol=1e-5, rtol=0)
    size = f"{len(images)} pictures of {SIDE} x {SIDE}"
    pair = side_by_side(ours, plain, device=device)
    return {"what": "D-SIM", "plain": "the model called pair by pair", "size": size, **pair}


def pixels(count: int = 12, size: int = paper.IMAGE_SIZE) -> dict[str, Any]:
    """Eq. 2 on a batch, and scipy's Gaussian picture by picture."""
    from scipy.ndimage import gaussian_filter

    images = torch.rand((count, 3, size, size), generator=torch.Generator().manual_seed(0))

    def plain() -> list[float]:
        found = []
        for image in images:
            gray = luminance(image[None])[0, 0].numpy()
            residual = gray - gaussian_filter(gray, paper.GAUSSIAN_SIGMA, mode="mirror")
            found.append(residual.var() / (gray.var() + VISIBLE))
        return found

    np.testing.assert_allclose(l_snr(images).numpy(), plain(), atol=1e-4)
    return {"what": "L-SNR", "plain": "scipy.ndimage, picture by picture",
            "size": f"{count} pictures of {size} x {size}",
            **side_by_side(lambda: l_snr(images), plain)}  # fmt: skip


def clustered_rows(count: int, clusters: int, width: int = 512, seed: int = 0) -> np.ndarray:
    """Float32 rows scattered around random centres, in random order: about 0.8 alike within a cluster, 0 otherwise.

    Eq. 1 keeps one of a cluster, seldom two: 18,164 of 616,000 rows around 17,400 centres.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, width), dtype=np.float32)
    rows = rng.standard_normal((count, width), dtype=np.float32)
    rows *= 0.5
    for start in range(0, count, 8192):  # no second copy of all rows
        part = rows[start : start + 8192]
        part += centres[rng.integers(clusters, size=len(part))]
    return rows


def selection(count: int = 616_000, clusters: int = 17_400, timed: int = 2_000) -> Iterator[dict[str, Any]]:
    """Eq. 1 on as many captions as COCO has, and the loop that compares one caption at a time with all kept so far.

    The loop would take most of an hour, so that it is timed at some of the rows, evenly spaced, with just what is kept
    by then; beside it, ours is the time of the whole run, shared out over the rows.
    """
    rows = clustered_rows(count, clusters)
    size, began = f"{count:,} x {rows.shape[1]} rows", time.perf_counter()
    kept = select_dissimilar(rows)
    whole = time.perf_counter() - began
    unit = rows[kept] / np.linalg.norm(rows[kept], axis=1, keepdims=True)
    chosen = np.linspace(0, count - 1, timed).astype(int)
    so_far, began = np.searchsorted(kept, chosen), time.perf_counter()
    found = [(unit[:k] @ (rows[i] / np.linalg.norm(rows[i])) < paper.DISSIMILARITY).all()
             for i, k in zip(chosen, so_far, strict=True)]  # fmt: skip
    plain, ours = time.perf_counter() - began, whole * timed / count
    if (np.asarray(found) != np.isin(chosen, kept)).any():
        raise AssertionError("the loop keeps other rows")
    ratio = plain / ours
    yield {"what": "prompt selection", "plain": f"row by row, at {timed:,} of the rows", "size": size,
           "device": device_name(CPU), "ours_seconds": ours, "plain_seconds": plain, "ratio": ratio, "least": ratio,
           "most": ratio}  # fmt: skip
    yield {"what": f"prompt selection, all rows: {len(kept):,} kept", "plain": "", "size": size,
           "device": device_name(CPU), "ours_seconds": whole}  # fmt: skip


def prediction(device: torch.device = CPU, count: int = 256) -> dict[str, Any]:
    """Curves and steps of prompts all at once, and prompt by prompt."""
    advisor = StepAdvisor.from_pretrained("mini", device)
    texts = list(mini_captions(count))
    pair = side_by_side(lambda: advisor.steps(texts), lambda: [advisor.steps([text]) for text in texts], device=device)
    return {"what": "predicting steps", "plain": "one prompt at a time", "size": f"{count} prompts", **pair}


def look(device: torch.device = CPU, count: int = 8, steps: int = 17, repeats: int = 5) -> dict[str, Any]:
    """Pictures looked at, read if the advisor can, and gone on with; and the same pictures drawn without a look."""
    profile, advisor = get_profile("mini"), StepAdvisor.from_pretrained("mini", device)
    pipe, texts, read = load_pipeline(profile, device), list(mini_captions(count)), advisor.picture_predictor
    conditioning = embed(pipe, profile, texts, [0] * count)

    def ours() -> torch.Tensor:
        looked = look_at(pipe, profile, conditioning)
        if read is not None:
            read(advisor.clip.embed_texts(texts).cpu().numpy(), looked.features.half().float().numpy())
        return go_on(pipe, profile, looked, steps)

    def plain() -> torch.Tensor:
        return generate.sample(pipe, profile, conditioning, steps)

    torch.testing.assert_close(ours(), plain(), atol=1e-4, rtol=0)
    pair = side_by_side(ours, plain, repeats, device)
    return {"what": "a look at each picture", "plain": "no look",
            "size": f"{count} miniature pictures of {steps} steps", **pair}  # fmt: skip


def kept_pictures(device: torch.device = CPU, count: int = 4) -> dict[str, Any]:
    """A part of a data set measured with its pictures kept as files, and without."""
    profile = get_profile("mini")
    pipe, scorer, texts = load_pipeline(profile, device), load_scorer(profile, device), list(mini_captions(count))

    def measure(keep: Path | None) -> None:
        measure_prompts(pipe, scorer, profile, texts, 0, 0.0, keep)

    def keeping() -> None:
        with TemporaryDirectory() as folder:
            measure(Path(folder))

    size = f"{count * len(profile.seeds) * len(profile.step_counts)} miniature pictures"
    pair = side_by_side(keeping, partial(measure, None), device=device)
    return {"what": "data set, pictures kept", "plain": "not kept", "size": size, **pair}


# --- the run --------------------------------------------------------------------------------------------------------


def run(out: Path, device: torch.device = CPU) -> pl.DataFrame:
    """Measure everything, show a progress bar, write ``out/benchmarks.json`` and a table of it; returns the pairs.

    ``ON_DEVICE`` are measured on ``device``, ``ON_CPU`` on the CPU, and each names what it was measured on. The
    GPU's part is measured if ``device`` is one, and says "not measured" elsewhere.
    """
    rows: list[dict[str, Any]] = []
    measures = {measure.__name__: partial(measure, device) for measure in ON_DEVICE}
    measures |= {measure.__name__: partial(measure) for measure in ON_CPU}
    with tqdm(measures.items(), "benchmarks") as bar:
        for name, measure in bar:
            bar.set_postfix_str(name)
            found = measure()
            rows.extend([found] if isinstance(found, dict) else found)
    pairs, gpu = pl.DataFrame(rows, infer_schema_length=None), {**sd2_gpu.measure(device), **tf32.measure(device)}
    noted = {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "threads": torch.get_num_threads(),
        "pairs": rows,
        "gpu": gpu,
        "gpu_device": device_name(device) if device.type == "cuda" else None,
    }
    (out / "tables").mkdir(parents=True, exist_ok=True)
    write_file(out / "benchmarks.json", f"{json.dumps(noted, indent=2)}\n".encode())
    pairs.write_csv(out / "tables" / "benchmarks.csv", float_precision=4)
    values = pl.DataFrame([{"on a GPU": name, **{k: str(v) for k, v in found.items()}} for name, found in gpu.items()])
    (out / "tables" / "benchmarks.md").write_text(f"{to_markdown(pairs)}\n\n{to_markdown(values)}\n", encoding="utf-8")
    return pairs


ON_DEVICE = (generation, d_sim, prediction, look, kept_pictures)
ON_CPU = (pixels, selection, queries)
