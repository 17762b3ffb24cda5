"""Every system of Table 2 changes pictures, costs what is counted, and leaves the pipeline as it was, bit for bit."""

import itertools
import re
from dataclasses import replace

import families
import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    VQDiffusionScheduler,
)

from bfkit.models.pipelines import load_pipeline
from bfkit.profiles import PROFILES
from bfkit.sampling.accelerators import deep_cache, tome
from bfkit.sampling.cost import flop_counter
from bfkit.sampling.counting import counting
from bfkit.sampling.generate import generate
from bfkit.sampling.grids import SOLVERS
from bfkit.sampling.hooks import DoesNotApply
from bfkit.sampling.systems import SYSTEMS, Cost, count_cost, count_tflops

PROMPTS = ["a white and empty wall", "two red circles on a beach", "a crowd in a park"]
SEEDS = [0, 1, 2]
GRIDS = tuple(f"{solver} on a grid" for solver in SOLVERS)
SAMPLERS = ("DDIM", "EulerAncestral", "DPM-Solver++ 2M", "UniPC", *GRIDS)
IN_THE_UNET = ("DeepCache", "ToMe", "DistriFusion")
ON_A_FLOW = ("DPM-Solver++ 2M", "UniPC")
SMOOTH = ("DDIM", "DPM-Solver++ 2M", "UniPC", *GRIDS)
ALONE = "Error-controlled"


def pictures(pipe, profile, steps: int = 7, name: str = "") -> torch.Tensor:
    """By whatever is entered, which is the system of that name."""
    return generate(pipe, PROMPTS, steps, profile=profile, seeds=SEEDS, batch=1 if name == ALONE else None)


def state(pipe) -> list:
    """All that an accelerator may touch: scheduler, classes, attributes and hooks of the UNet's parts."""
    parts = []
    for part in pipe.unet.modules():
        hooks = {key: tuple(value) for key, value in vars(part).items() if key.endswith("_hooks")}
        parts.append((type(part), {key: id(value) for key, value in vars(part).items()}, hooks))
    return [pipe.scheduler, dict(pipe.config), dict(pipe.scheduler.config), parts]


@pytest.fixture(scope="module")
def without_unet(random_parts):
    """A real pipeline around a transformer."""
    transformer = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, num_layers=1, sample_size=8, norm_num_groups=8
    )
    return DiTPipeline(transformer=transformer, vae=random_parts["vae"], scheduler=DDIMScheduler())


# --- all systems ----------------------------------------------------------------------------------------------------


def test_the_registry_has_every_other_row_of_table_2_and_todays_choices():
    assert sorted(SYSTEMS) == sorted((*SAMPLERS, *IN_THE_UNET, ALONE))
    assert [name for name, system in SYSTEMS.items() if system.alone] == [ALONE]
    assert all(system.name == name and system.needs and system.timesteps for name, system in SYSTEMS.items())


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_acts_while_entered_and_leaves_the_pipeline_as_it_was(pipe, random_profile, name):
    plain, before = pictures(pipe, random_profile), state(pipe)
    evaluations = []
    with SYSTEMS[name](pipe) as entered, pipe.unet.register_forward_hook(lambda *_: evaluations.append(1)):
        assert entered is pipe
        drawn = pictures(pipe, random_profile, name=name)
    assert len(evaluations) == 7 or (name == ALONE and len(evaluations) > 3), "one a step"
    assert drawn.shape == plain.shape
    assert drawn.isfinite().all()
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn - plain).abs().max() > 1e-3
    assert torch.equal(pictures(pipe, random_profile), plain)
    assert state(pipe) == before


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_exception_leaves_the_pipeline_as_it_was(pipe, random_profile, name):
    plain, before = pictures(pipe, random_profile, 2), state(pipe)

    def interrupt(pipe, step: int, *_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), SYSTEMS[name](pipe):
        generators = [torch.Generator().manual_seed(0)]
        pipe("a wall", num_inference_steps=3, generator=generators, callback_on_step_end=interrupt)
    assert state(pipe) == before
    assert torch.equal(pictures(pipe, random_profile, 2), plain)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_picture_depends_on_its_seed_alone_not_on_its_batch_or_on_other_noise(pipe, random_profile, name):
    with SYSTEMS[name](pipe):
        together = pictures(pipe, random_profile, name=name)
        torch.manual_seed(5)
        torch.randn(3)
        alone = generate(pipe, PROMPTS[1:2], 7, profile=random_profile, seeds=SEEDS[1:2])
    torch.testing.assert_close(alone[0], together[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", IN_THE_UNET)
def test_without_a_unet_there_is_nothing_to_hook_into(without_unet, name):
    with pytest.raises(ValueError, match=f"{name} works inside a UNet and DiTPipeline has none"):
        SYSTEMS[name](without_unet).__enter__()


@pytest.mark.parametrize("name", IN_THE_UNET)
def test_a_unet_whose_forward_was_replaced_is_refused(pipe, random_profile, name):
    with counting(pipe, random_profile), pytest.raises(ValueError, match=f"enter {name} first"):
        SYSTEMS[name](pipe).__enter__()
    with SYSTEMS[name](pipe):
        pass


@pytest.mark.parametrize(
    ("name", "why"), [("DDIM", "Euler's method, by which the pipeline samples"), ("EulerAncestral", "noise that")]
)
def test_a_pipeline_of_flow_matching_keeps_its_sampler(without_unet, name, why):
    before = without_unet.scheduler
    without_unet.scheduler = flow = FlowMatchEulerDiscreteScheduler()
    try:
        with pytest.raises(DoesNotApply, match=f"{name} needs .* betas, and flow matching has none: .*{why}"):
            SYSTEMS[name](without_unet).__enter__()
        assert without_unet.scheduler is flow
    finally:
        without_unet.scheduler = before


@pytest.mark.parametrize("name", ON_A_FLOW)
def test_a_pipeline_of_neither_betas_nor_a_flow_keeps_its_sampler(without_unet, name):
    before = without_unet.scheduler
    without_unet.scheduler = VQDiffusionScheduler(num_vec_classes=4)
    try:
        with pytest.raises(DoesNotApply, match="betas or a flow, and this pipeline's VQDiffusionScheduler has neither"):
            SYSTEMS[name](without_unet).__enter__()
    finally:
        without_unet.scheduler = before


@pytest.mark.parametrize("name", ON_A_FLOW)
@pytest.mark.parametrize("dynamic", [False, True], ids=["shift", "mu"])
def test_on_a_flow_that_can_be_solved_by_hand_second_order_arrives_sooner_than_euler(without_unet, name, dynamic):
    """Pictures from N(0, 1/4): x = (1 - t) picture + t noise keeps its shape, so that x(0) = x(1) / 2 exactly."""

    def error(scheduler, steps: int) -> float:
        scheduler.set_timesteps(steps, mu=0.9)
        x = start = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(1, 1, 2, 4)
        for timestep in scheduler.timesteps:
            t = timestep.double() / 1000
            velocity = x * (t - (1 - t) / 4) / ((1 - t) ** 2 / 4 + t**2)
            x = scheduler.step(velocity, timestep, x, return_dict=False)[0].double()
        return (x - start / 2).abs().max().item()

    before = without_unet.scheduler
    without_unet.scheduler = flow = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=dynamic)
    try:
        with SYSTEMS[name](without_unet):
            solver = without_unet.scheduler
            errors = [error(solver, steps) for steps in (8, 32)]
            assert len(solver.timesteps) == 32
            torch.testing.assert_close(solver.timesteps.cpu() / 1000, solver.sigmas[:-1], atol=1e-6, rtol=0)
        assert errors[1] < errors[0] / 6, "second order"
        assert errors[1] < error(flow, 32) / 3
    finally:
        without_unet.scheduler = before


def test_a_sampler_that_the_pipeline_has_already_is_refused(pipe):
    with SYSTEMS["DDIM"](pipe):
        with pytest.raises(ValueError, match="samples by DDIM already"):
            SYSTEMS["DDIM"](pipe).__enter__()
        with SYSTEMS["DPM-Solver++ 2M"](pipe):
            pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*callback_steps.*:FutureWarning")  # diffusers' combined Kandinsky calls so
@pytest.mark.parametrize(
    ("family", "refused"),
    [
        ("sdxl", ()),
        ("sd3", ("DDIM", "EulerAncestral", *GRIDS, *IN_THE_UNET, ALONE)),
        ("flux", ("DDIM", "EulerAncestral", *GRIDS, *IN_THE_UNET, ALONE)),
        ("pixart", IN_THE_UNET),
        ("kandinsky", ("DDIM", "EulerAncestral", "Euler on a grid", "ToMe", ALONE)),
    ],
)
def test_in_every_family_a_system_acts_or_says_what_it_needs(tmp_path, family, refused):
    profile = families.save_tiny(family, tmp_path)
    pipe = load_pipeline(profile)
    plain = pictures(pipe, profile)
    for name, system in SYSTEMS.items():
        if name in refused:
            with pytest.raises(DoesNotApply, match=re.escape(name)), system(pipe):
                pictures(pipe, profile, name=name)
        else:
            with system(pipe):
                drawn = pictures(pipe, profile, name=name)
            assert drawn.isfinite().all()
            assert (drawn - plain).abs().max() > 1e-4, name
        assert torch.equal(pictures(pipe, profile), plain), name


# --- samplers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_keeps_the_noise_schedule_and_what_the_denoiser_predicts(pipe, name):
    own = pipe.scheduler
    with SYSTEMS[name](pipe):
        assert pipe.scheduler is not own
        assert pipe.scheduler.config.prediction_type == "v_prediction"
        assert torch.equal(pipe.scheduler.alphas_cumprod, own.alphas_cumprod)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [2, 23, 61, 65, 103, 129])
def test_a_sampler_takes_as_many_steps_as_asked_down_from_pure_noise(pipe, name, steps):
    with SYSTEMS[name](pipe):
        pipe.scheduler.set_timesteps(steps)
        timesteps, sigmas = pipe.scheduler.timesteps, pipe.scheduler.sigmas
    assert len(timesteps) == steps
    assert timesteps[0] == 999
    assert (timesteps.diff() < 0).all()
    assert timesteps[-1] >= 0
    assert sigmas[-1] == 0


def draw(pipe, **when: object) -> torch.Tensor:
    """A guided picture by a plain call of the pipeline."""
    generator = [torch.Generator().manual_seed(3)]
    return pipe(PROMPTS[1], generator=generator, guidance_scale=3.0, output_type="pt", **when).images


def by_euler(pipe, timesteps: list[int], spacing: str = "leading") -> torch.Tensor:
    """By diffusers' Euler at chosen timesteps; with "leading", it does not shrink the first noise by 0.2% as else."""
    own = pipe.scheduler
    pipe.scheduler = EulerDiscreteScheduler.from_config(own.config, timestep_spacing=spacing)
    try:
        return draw(pipe, timesteps=timesteps)
    finally:
        pipe.scheduler = own


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_goes_straight_from_pure_noise_to_the_picture(pipe, name):
    expected = by_euler(pipe, [999], "linspace" if name == "EulerAncestral" else "leading")
    with SYSTEMS[name](pipe):
        drawn = draw(pipe, num_inference_steps=1)
        assert pipe.scheduler.timesteps.tolist() == [999]
    torch.testing.assert_close(drawn, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("timesteps", [[999, 749, 499, 249], [999, 799, 599, 399, 199]])
def test_ddim_is_that_of_diffusers_where_the_stride_is_whole_and_euler_at_equal_timesteps(pipe, timesteps):
    config = pipe.scheduler.config
    with SYSTEMS["DDIM"](pipe):
        drawn = draw(pipe, timesteps=timesteps)
        pipe.scheduler = DDIMScheduler.from_config(config, timestep_spacing="trailing", clip_sample=False)
        expected = draw(pipe, num_inference_steps=len(timesteps))
        assert pipe.scheduler.timesteps.tolist() == timesteps
    torch.testing.assert_close(drawn, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(drawn, by_euler(pipe, timesteps), atol=1e-4, rtol=0)


@torch.no_grad()
def test_euler_ancestral_goes_further_down_and_comes_up_with_the_pictures_own_noise(pipe):
    """Two steps by hand: sigma_up^2 + sigma_down^2 = sigma^2 of the timestep that is next."""
    alphas = torch.from_numpy(np.prod([1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2], axis=0).cumprod())
    high, low = ((1 - alphas[when]) / alphas[when] for when in (999, 0))
    high, low = high.sqrt().item(), low.sqrt().item()
    generator = torch.Generator().manual_seed(4)
    start, noise = (torch.randn((1, 4, 16, 16), generator=generator) for _ in range(2))
    text = pipe.encode_prompt(PROMPTS[0], "cpu", 1, False)[0]

    def clean(latents: torch.Tensor, sigma: float, timestep: int) -> torch.Tensor:
        scale = (sigma**2 + 1) ** 0.5
        velocity = pipe.unet(latents / scale, timestep, text).sample
        return latents / scale**2 - sigma / scale * velocity

    up = (low**2 * (high**2 - low**2) / high**2) ** 0.5
    down = (low**2 - up**2) ** 0.5
    latents = start * high
    guess = clean(latents, high, 999)
    latents = guess + down / high * (latents - guess) + up * noise
    expected = clean(latents, low, 0)
    with SYSTEMS["EulerAncestral"](pipe):
        drawn = pipe(
            PROMPTS[0], num_inference_steps=2, guidance_scale=1.0, output_type="latent",
            generator=[torch.Generator().manual_seed(4)],
        ).images  # fmt: skip
    torch.testing.assert_close(drawn, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("generator", [None, torch.Generator()], ids=["none", "one"])
def test_euler_ancestral_wants_a_generator_a_picture(pipe, generator):
    latents = torch.randn((2, 4, 16, 16), generator=torch.Generator().manual_seed(0))
    with (
        SYSTEMS["EulerAncestral"](pipe),
        pytest.raises(ValueError, match=r"[01] generators for 2 pictures: .*generator=\[\.\.\.\], one a picture"),
    ):
        pipe(PROMPTS[:2], num_inference_steps=2, latents=latents, generator=generator)


def test_euler_ancestral_is_refused_where_the_pipeline_does_not_scale_the_denoisers_input(pipe):
    with SYSTEMS["EulerAncestral"](pipe), pytest.raises(ValueError, match="does not: choose DDIM"):
        pipe.scheduler.set_timesteps(2)
        latents = torch.zeros(1, 4, 16, 16)
        pipe.scheduler.step(latents, pipe.scheduler.timesteps[0], latents, generator=[torch.Generator()])


@pytest.mark.slow
def test_on_the_trained_miniature_the_smooth_samplers_arrive_where_euler_does_and_second_order_sooner():
    mini = PROFILES["mini"]
    pipe = load_pipeline(mini)
    target, errors = pictures(pipe, mini, 129), {}
    for name in SMOOTH:
        with SYSTEMS[name](pipe):
            errors[name] = [(pictures(pipe, mini, steps) - target).square().mean().item() ** 0.5 for steps in (5, 33)]
    euler = (pictures(pipe, mini, 33) - target).square().mean().item() ** 0.5
    assert all(late < early / 2 for early, late in errors.values())
    assert errors["DPM-Solver++ 2M"][1] < euler / 1.5
    assert errors["UniPC"][1] < euler / 1.5


# --- DeepCache ------------------------------------------------------------------------------------------------------


def test_deep_cache_computes_the_last_layer_anew_from_deep_features_of_the_step_before(pipe, random_profile):
    kept, deep = [], pipe.unet.up_blocks[-1].resnets[-2]

    def reuse(layer: torch.nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return kept[0]

    with deep.register_forward_hook(reuse):
        expected = pictures(pipe, random_profile, 2)
    assert len(kept) == 2
    with deep_cache(pipe, interval=2, branch=0):
        drawn = pictures(pipe, random_profile, 2)
    assert torch.equal(drawn, expected)


def test_deep_cache_saves_all_but_every_intervals_step_and_less_the_deeper_its_branch(pipe, random_profile):
    whole = count_tflops(pipe, random_profile, 1)[0]
    for interval, branch in itertools.product((2, 4), (0, 3)):
        with deep_cache(pipe, interval, branch):
            costs = count_tflops(pipe, random_profile, 5)
        assert [cost == whole for cost in costs] == [step % interval == 0 for step in range(5)]
        assert costs[1] < (0.1 if branch == 0 else 0.6) * whole
        assert branch == 0 or costs[1] > 0.1 * whole


@pytest.mark.parametrize(
    ("interval", "branch", "words"),
    [(1, 0, "caches nothing"), (0, 0, "caches nothing"), (3, 9, "no branch 9 .* 0 to 8"), (3, -1, "no branch -1")],
)
def test_deep_cache_refuses_settings_that_do_nothing(pipe, interval, branch, words):
    with pytest.raises(ValueError, match=words), deep_cache(pipe, interval, branch):
        pass


# --- token merging --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "left"), [(0.25, 48), (0.5, 32), (0.75, 16)])
def test_token_merging_thins_out_the_largest_maps_that_have_attention(pipe, random_profile, ratio, left):
    """The miniature has none at 16 x 16; at 8 x 8 tokens are merged, at 4 x 4 they are not."""
    tokens = []
    queries = [part.to_q for name, part in pipe.unet.named_modules() if name.endswith("attn1")]
    handles = [query.register_forward_pre_hook(lambda _, args: tokens.append(args[0].shape[1])) for query in queries]
    with tome(pipe, ratio):
        pictures(pipe, random_profile, 1)
    for handle in handles:
        handle.remove()
    assert sorted(set(tokens)) == sorted({16, left})
    assert tokens.count(left) >= 3


def test_token_merging_saves_attention_and_more_with_a_larger_ratio(pipe, random_profile):
    plain = count_cost(pipe, random_profile).cycle[0]
    costs = [
        count_cost(pipe, random_profile, replace(SYSTEMS["ToMe"], settings={"ratio": r})).cycle[0] for r in (0.25, 0.75)
    ]
    assert plain > costs[0] > costs[1]


@pytest.mark.parametrize("ratio", [0, -0.5, 0.8, 1.0])
def test_token_merging_refuses_a_ratio_that_merges_nothing_or_too_much(pipe, ratio):
    with pytest.raises(ValueError, match=r"above 0 and up to 0\.75"), tome(pipe, ratio):
        pass


def test_token_merging_refuses_a_ratio_that_merges_no_token_of_the_picture(pipe, random_profile):
    with tome(pipe, 0.01), pytest.raises(ValueError, match="merges none of 8 x 8 tokens"):
        pictures(pipe, random_profile, 1)


def test_token_merging_refuses_a_unet_without_attention(pipe):
    own = pipe.unet
    pipe.unet = type(own)(
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, mid_block_type=None,
        block_out_channels=(32, 64), norm_num_groups=8, cross_attention_dim=16,
    )  # fmt: skip
    try:
        with pytest.raises(ValueError, match="ToMe merges tokens of transformer blocks"), tome(pipe):
            pass
    finally:
        pipe.unet = own


# --- cost -----------------------------------------------------------------------------------------------------------


def test_attention_is_counted_on_a_cpu_as_well():
    tokens = torch.randn(2, 4, 64, 32)
    with flop_counter() as counter:
        torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
    assert counter.get_total_flops() == 2 * (2 * 2 * 4 * 64 * 64 * 32), "queries by keys, weights by values"


@pytest.mark.parametrize("name", [None, *SYSTEMS])
def test_a_picture_costs_what_its_cycle_says(pipe, random_profile, name):
    system = SYSTEMS.get(name)
    cost = count_cost(pipe, random_profile, system)
    if system is None:
        counted = count_tflops(pipe, random_profile, 7)
    else:
        with system(pipe):
            counted = count_tflops(pipe, random_profile, 7)
    assert len(counted) == 7 or name == ALONE
    for steps in range(1, len(counted) + 1):
        assert cost.tflops(steps) == pytest.approx(sum(counted[:steps]), rel=1e-12)


def test_distrifusion_costs_in_all_what_the_undivided_unet_does_and_a_little_more(pipe, random_profile):
    plain, split = (count_cost(pipe, random_profile, system) for system in (None, SYSTEMS["DistriFusion"]))
    assert 1 < split.tflops(9) / plain.tflops(9) < 1.1, "each patch embeds the timestep and the text anew"
    assert split.tflops_per_device(9) == split.tflops(9) / 2


@pytest.mark.parametrize("cycle", [(2.0,), (3.0, 0.25, 0.25), (0.1, 0.3)])
def test_a_budget_pays_for_the_largest_number_of_steps_that_it_covers(cycle):
    cost = Cost(cycle)
    assert [cost.steps(cost.tflops(steps)) for steps in range(1, 60)] == list(range(1, 60))
    for budget in np.linspace(3, 40, 75):
        steps = cost.steps(budget)
        assert cost.tflops(steps) <= budget * (1 + 1e-9)
        assert cost.tflops(steps + 1) > budget
    assert cost.steps(1e6) == 1000, "a sampler has no more timesteps"


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf")])
def test_a_budget_that_is_no_positive_number_is_refused(budget):
    with pytest.raises(ValueError, match="a positive number of TFLOPs"):
        Cost((1.0,)).steps(budget)


def test_a_budget_below_one_step_is_refused():
    with pytest.raises(ValueError, match=r"0\.5 TFLOPs a picture pays for no step of 2"):
        Cost((2.0, 0.1)).steps(0.5)
