"""What TF32 wins and costs in scoring: CoCa's and DreamSim's architectures with random weights, on a GPU."""

from dataclasses import replace

import open_clip
import torch
from dreamsim.feature_extraction.vision_transformer import vit_base

from bfkit.metrics.scorer import Scorer
from bfkit.mini.render import draw
from bfkit.mini.world import sample_scenes
from bfkit.models.clip import Clip
from bfkit.models.dreamsim import DreamSim, Tower

from .timing import side_by_side

NOT_MEASURED = "not measured"
UNITS = {
    "scoring, float32": "s",
    "scoring, TF32": "s",
    "largest error of D-SIM by TF32": "",
    "largest error of I-CLIP by TF32": "",
    "captions that TF32 changes": "",
}


def large_scorer(device: torch.device | str) -> Scorer:
    """The real scorers' architectures: what they cost does not depend on the weights, and errors hardly do."""
    torch.manual_seed(0)
    with torch.device(device):
        coca = open_clip.create_model("coca_ViT-L-14")
        dreamsim = DreamSim([Tower(vit_base(patch_size=16), None, (0.5,) * 3, (0.5,) * 3)]).eval()
    if not isinstance(coca, open_clip.CoCa):
        raise TypeError(f"coca_ViT-L-14 is a {type(coca).__name__}")
    clip = Clip(coca.eval(), open_clip.get_tokenizer("coca_ViT-L-14"), (0.5,) * 3, (0.5,) * 3)
    return Scorer(dreamsim.to(device).embed, clip)


def measure(device: torch.device | str = "cuda", count: int = 32) -> dict[str, dict[str, float | str]]:
    """Value and unit of everything in ``UNITS``; "not measured" where there is no GPU."""
    found: dict[str, float | str] = dict.fromkeys(UNITS, NOT_MEASURED)
    if torch.device(device).type == "cuda" and torch.cuda.is_available():
        found |= compare(large_scorer(device), device, count)
    return {name: {"value": value, "unit": UNITS[name]} for name, value in found.items()}


def compare(scorer: Scorer, device: torch.device | str, count: int) -> dict[str, float]:
    """Pictures of the miniature's world scored in both precisions, each against the one before it."""
    images = draw(sample_scenes(count, 0), size=224).to(device)
    exact, fast = (replace(scorer, tf32=tf32) for tf32 in (False, True))
    times = side_by_side(lambda: fast.features(images).semantic.cpu(), lambda: exact.features(images).semantic.cpu())
    (seen, scores), (seen_fast, scores_fast) = ((own.features(images), _scores(own, images)) for own in (exact, fast))
    changed = sum(one != other for one, other in zip(seen.captions, seen_fast.captions, strict=True))
    errors = {name: (scores[name] - scores_fast[name]).abs().max().item() for name in ("d_sim", "i_clip")}
    values = (times["plain_seconds"], times["ours_seconds"], errors["d_sim"], errors["i_clip"], changed / count)
    return dict(zip(UNITS, values, strict=True))


def _scores(scorer: Scorer, images: torch.Tensor) -> dict[str, torch.Tensor]:
    return scorer.score(images, scorer.features(images.roll(1, dims=0)))
