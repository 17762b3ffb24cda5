"""Prompts to pictures through any diffusers pipeline, counted and priced, and other ways to draw sooner.

The other systems of Table 2 and today's choices are context managers around a pipeline::

    with SYSTEMS["DeepCache"](pipe):
        pictures = pipe(...)

A picture costs its evaluations of the denoiser. There are two ways to spend less on it than the pipeline does.

**Fewer steps, better taken** (`samplers`). Sampling follows a curve from noise to a picture; each evaluation gives its
direction at one point. Cost a step is unchanged, so at equal cost these draw in as many steps as the pipeline itself.

- DDIM (2010.02502): straight pieces along the curve, without noise. In other variables this is Euler's method, so
  against a pipeline that samples by Euler it differs in its timesteps alone, and by 0.2% in the first noise's scale.
- EulerAncestral (Euler's method as in 2206.00364, the noise as in DDPM, 2006.11239): goes further down than Euler and
  adds fresh noise. That forgives errors of earlier steps, and gives up convergence: more steps give another picture.
- DPM-Solver++ 2M (2211.01095) and UniPC (2302.04867): remember the last evaluations and bend the pieces. They save most
  of the steps where the curve is smooth; in very few steps the bend is a guess. On flow matching diffusers has both.

**Cheaper steps** (`accelerators`, `distrifusion`). The sampler stays; a step computes less of the UNet, or less a
device.

- DeepCache (2312.00858): deep features change slowly from step to step, so most steps compute the outermost layers
  only. Saves most of a step's cost; gives up what the deep layers would have seen in between.
- ToMe (2303.17604): merges alike tokens before attention. Saves attention's quadratic part, little on small pictures;
  gives up fine detail, where alike is not equal.
- DistriFusion (2402.19481): splits a picture over devices that work with one-step-old activations of each other. Saves
  time, not cost: the total is that of the undivided UNet and a little more, each device's share its part of it.

At equal cost, a cheaper step means more steps. `count_cost` counts the operations of a system's steps and says how many
steps a budget pays for, all devices together, and what each device does of it::

    cost = count_cost(pipe, profile, SYSTEMS["DeepCache"])
    steps = cost.steps(count_cost(pipe, profile).tflops(23))  # as dear as 23 steps of the pipeline itself
"""
