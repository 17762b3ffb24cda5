"""Every task: it accepts its solution, refuses misconceptions by name, never gives the answer away, and is quick."""

import ast
import inspect
import linecache
import runpy
import time
from pathlib import Path

import nbformat
import numpy as np
import polars as pl
import pytest
import torch
from course_given import GIVEN
from diffusers import EulerDiscreteScheduler

from bfkit import course, l_snr, paper, plateau_step, select_dissimilar, study
from bfkit.course.checking import NOT_ATTEMPTED, NOT_YET, RIGHT, Task
from bfkit.course.lessons._bundled import held_out_curves
from bfkit.course.notebook import stub
from bfkit.dataset.curves import interpolate
from bfkit.evaluation import promise
from bfkit.evaluation.efficiency import relative_quality
from bfkit.evaluation.promise import last_that_passes, least_prompts
from bfkit.metrics.inception import inception_score
from bfkit.metrics.registry import METRICS
from bfkit.predictor.promise import Terms
from bfkit.predictor.rules import loss, steps_by_plateau, steps_by_price, steps_by_uniform
from bfkit.report.reproduce import choose

TASKS = course.tasks(*course.LESSONS)
refreshed = runpy.run_path(str(Path(course.__file__).parents[2] / "docs" / "exercises.py"))["refreshed"]
WRONG = [(task, name) for task in TASKS.values() for name in task.slips]
NONSENSE = (-1, 1e6, None, "something", [], [1, 2, 3], float("nan"))
each = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def given(task: Task) -> tuple:
    """What the lesson gives a task of a value; no function needs any."""
    return () if task.cases else GIVEN[task.name]()


def solved(task: Task) -> object:
    """What the solution's code answers, run as the lesson would."""
    names = dict(zip(task.given.split(", "), given(task), strict=True)) if task.given else {}
    exec(task.source(), names := {**inspect.getmodule(task.right).__dict__, **course_names(), **names})
    last = ast.parse(task.source()).body[-1]
    return names[last.name if isinstance(last, ast.FunctionDef) else ast.unparse(last.targets[0])]


def course_names() -> dict:
    """What the lessons import or have made before, beside what they give."""
    from bfkit import get_profile
    from bfkit.course.lessons.plateau import plateau

    return {"METRICS": METRICS, "Terms": Terms, "np": np, "pl": pl, "paper": paper, "promise": promise, "own": plateau,
            "profile": get_profile("mini"), "select_dissimilar": select_dissimilar}  # fmt: skip


def test_every_lesson_has_two_to_four_tasks():
    assert {path.stem.partition("_")[2] for path in choose()} == set(course.LESSONS)
    for lesson in course.LESSONS:
        assert 2 <= len(course.tasks(lesson)) <= 4
        assert all(name.startswith(f"{lesson}.") for name in course.tasks(lesson))


@each
def test_a_check_accepts_the_solution_in_under_a_second(task):
    answer, own = solved(task), given(task)
    task.check(answer, *own)  # what is read is read once
    began = time.process_time()
    assert task.check(answer, *own).verdict == RIGHT
    assert time.process_time() - began < 1


@pytest.mark.parametrize(("task", "slip"), WRONG, ids=[f"{task.name}: {name}" for task, name in WRONG])
def test_a_misconception_is_refused_in_its_own_words(task, slip):
    wrong, said = task.slips[slip]
    result = task.check(wrong, *given(task)) if task.cases else task.check(wrong(*given(task)), *given(task))
    assert (result.verdict, result.said) == (NOT_YET, said)


@each
def test_a_task_knows_three_misconceptions_and_has_hints(task):
    assert len(task.slips) >= 3 and task.hints and all(task.hints)


@each
def test_nothing_said_before_an_answer_is_right_gives_it_away(task):
    own = given(task)
    if task.cases:  # a function's answer is its code
        told = " ".join([task.text, *task.hints, *(said for _, said in task.slips.values())])
        assert not [line for line in task.source().splitlines()[2:] if len(line) > 40 and line.strip() in told]
        return
    want = task.right(*own)
    for answer in (*NONSENSE, *(slip(*own) for slip, _ in task.slips.values())):
        result = task.check(answer, *own)
        assert result.verdict == NOT_YET
        if isinstance(want, set):
            assert not all(name in result.said for name in want)
        else:
            words = {word.strip(".,;:()") for word in result.said.split()}
            assert not words & {f"{want:{form}}" for form in ("", ".3f", ".2f", ".0%")}


@each
def test_a_stub_is_its_solution_with_the_dots_and_not_attempted(task):
    source, own = task.source(), given(task)
    (*before, last), (*stub_before, dots) = ast.parse(source).body, ast.parse(stub(source)).body
    assert [ast.unparse(line) for line in before] == [ast.unparse(line) for line in stub_before]
    if task.cases:
        assert ast.unparse(last.args) == ast.unparse(dots.args) and last.name == dots.name
        assert ast.get_docstring(last) == ast.get_docstring(dots)
        assert [ast.unparse(line) for line in dots.body[1:]] == ["..."]
        assert len(last.body) <= 10 and len(source.splitlines()) <= 11
    else:
        assert [ast.unparse(name) for name in last.targets] == [ast.unparse(name) for name in dots.targets]
        assert ast.unparse(dots.value) == "..."
    names = {**course_names(), **dict(zip(task.given.split(", "), own, strict=True) if task.given else {})}
    linecache.cache[task.name] = (0, None, stub(source).splitlines(keepends=True), task.name)  # as a notebook does
    exec(compile(stub(source), task.name, "exec"), names := {**inspect.getmodule(task.right).__dict__, **names})
    answer = names[last.name if task.cases else ast.unparse(last.targets[0])]
    assert task.check(answer, *own).verdict == NOT_ATTEMPTED
    if task.cases:
        assert task.own(answer) is task.right, "figures go on with the library's"


@pytest.mark.parametrize("path", choose(), ids=lambda path: path.stem)
def test_a_lesson_has_its_tasks_cells_as_they_are_written(path):
    cells, renewed = nbformat.read(path, as_version=4).cells, refreshed(path).cells
    assert [cell.source for cell in cells] == [cell.source for cell in renewed], "run docs/exercises.py"


# --- the tasks' own functions are the library's ---------------------------------------------------------------------


def right(name: str):
    return TASKS[name].right


def test_the_functions_to_write_are_the_librarys():
    rows = np.random.default_rng(0).normal(size=(300, 4))
    assert right("prompts.select")(rows, 0.75) == select_dissimilar(rows, 0.75).tolist()
    pictures = TASKS["metrics.l_snr"].cases()[0][0]
    torch.testing.assert_close(right("metrics.l_snr")(pictures), l_snr(pictures), atol=5e-3, rtol=5e-3)
    curves = held_out_curves()[1]
    for name, info in METRICS.items():
        for curve in curves[name]:
            own = right("plateau.plateau")(curve, 0.3, info.lower_is_better)
            assert own == plateau_step(curve, 0.3, info.lower_is_better)
    steps = {"OURS": steps_by_plateau(curves)}
    steps["UNIFORM"] = steps_by_uniform(curves, steps["OURS"].mean())
    gains = relative_quality(steps, curves)
    for name, info in METRICS.items():
        own = right("efficiency.gain")(curves[name], steps["OURS"], steps["UNIFORM"], info.lower_is_better)
        np.testing.assert_allclose(own, gains.filter(metric=name)["relative"].to_numpy(), atol=1e-12)
    np.testing.assert_array_equal(right("rules.price_rule")(loss(curves), 1e-3), steps_by_price(curves, 1e-3))
    for network, prompts in TASKS["predictor.forward"].cases():
        torch.testing.assert_close(right("predictor.forward")(network, prompts), network(prompts))


def test_the_short_ones_too_are_the_librarys():
    curves = held_out_curves()[1]
    drawn = np.array(paper.STEP_COUNTS)
    values = curves["d_sim"][0, drawn - 1]
    np.testing.assert_allclose(right("scores.joined")(drawn, values), interpolate(values, paper.STEP_COUNTS))
    rng = np.random.default_rng(0)
    cost, quality = np.arange(1.0, 9), rng.uniform(size=8)
    best_so_far = np.append(-np.inf, np.maximum.accumulate(quality)[:-1])
    np.testing.assert_array_equal(right("systems.front")(cost, 1 - quality), quality >= best_so_far)
    logits = torch.randn(50, 7, dtype=torch.float64)
    ours = right("quality.inception")(logits.softmax(1)).item()
    assert ours == pytest.approx(inception_score(logits, splits=1)[0], rel=1e-4)
    assert right("study.d_prime")(0.603) == pytest.approx(study.d_prime(0.603))
    for prompts in (30, 61, 200):
        most = right("beyond.allowed")(prompts, 0.1, 0.1)
        terms = Terms(epsilon=0.02, alpha=0.1, delta=0.1)
        assert (most >= 0) == (prompts >= least_prompts(terms))
        assert last_that_passes([most, most + 1], prompts, terms) == 0
    steps = steps_by_plateau(curves)
    worst = right("gallery.worst")(curves["d_sim"], steps, 2)
    at_own = curves["d_sim"][np.arange(len(steps)), steps - 1]
    assert at_own[worst[0]] == at_own.max() and at_own[worst[1]] <= at_own[worst[0]]


def test_a_step_of_eulers_is_diffusers():
    scheduler = EulerDiscreteScheduler(timestep_spacing="linspace")  # predicts the noise
    scheduler.set_timesteps(5)
    generator = torch.Generator().manual_seed(0)
    held = torch.randn(1, 4, 3, 3, generator=generator) * scheduler.init_noise_sigma
    believed = torch.randn(1, 4, 3, 3, generator=generator)
    level, following = scheduler.sigmas[0].item(), scheduler.sigmas[1].item()
    theirs = scheduler.step((held - believed) / level, scheduler.timesteps[0], held).prev_sample
    torch.testing.assert_close(
        right("generation.euler")(held, believed, level, following), theirs, atol=1e-4, rtol=1e-4
    )
