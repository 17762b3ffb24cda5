"""The explorer in a real browser: its Eq. 7, the page that stands alone, and the widget in JupyterLab."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import polars as pl
import pytest
from browsers import CHROMIUM, DRIVER, browsing, hindrances, scrolls_sideways, seen_as, smallest_letters

from bfkit import paper
from bfkit.dataset import truth
from bfkit.dataset.build import build_dataset
from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import SCHEMA, read_scores, split_by_prompt, tflops_per_step, write_table
from bfkit.explorer.data import FIGURE_2, choose_prompts, gather
from bfkit.explorer.page import script, write_explorer
from bfkit.explorer.widget import Explorer, explore
from bfkit.metrics.registry import METRICS
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.plateau import plateau_step, plateau_steps
from bfkit.profiles import PROFILES

MINI = PROFILES["mini"]
STEPS = (1, 2, 4)
PROMPTS = ("a red circle on a white wall", "a blue square in a park", "three green stars on a beach")
MOVE = """
for (const [name, value] of Object.entries(arguments[0])) {
  const slider = document.querySelector(`input[name=${name}]`);
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
}
return Number(document.querySelector(".star b").textContent);
"""
CHOOSE = """
const menu = document.querySelector("select");
return [...menu.options].map((option) => {
  menu.value = option.value;
  menu.dispatchEvent(new Event("change"));
  const told = (name) => document.querySelector(name).textContent;
  const asked = document.querySelector(".asked:not([hidden])")?.textContent ?? null;
  return { prompt: told(".prompt"), steps: Number(told(".star b")), remarks: told(".remarks"), asked };
});
"""


def table(
    prompts: Sequence[str] = PROMPTS,
    steps: Sequence[int] = STEPS,
    seeds: int = 2,
    curve: Callable[[int, int], float] = lambda row, steps: 0.6 / steps ** (0.3 + 0.4 * row),
) -> pl.DataFrame:
    """A score table whose curves are ``curve`` of the prompt's number and the steps, alike for all three metrics."""
    rows = [
        (row, prompt, seed, t, value := curve(row, t), value, 1 - value, t, 0.1 * t, 0.001 * t, None)
        for row, prompt in enumerate(prompts)
        for seed in range(seeds)
        for t in steps
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver")
    with browsing(tmp_path_factory.mktemp("chromium"), height=1000) as driver:
        yield driver


def show(browser, path: Path) -> None:
    browser.get_log("browser")  # what an earlier page said
    browser.get(path.as_uri())


def find(browser, selector: str) -> list:
    return browser.find_elements("css selector", selector)


def wait(browser, condition: Callable[[object], object], seconds: int = 60) -> object:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds).until(condition)


# --- Eq. 7 in JavaScript -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def eq7(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("eq7") / "eq7.html"
    names = "{ nearest, plateauStep, spread, withNoise }"
    path.write_text(f"<script type=module>{script()}\nwindow.eq7 = {names};</script>")
    show(browser, path)
    return lambda body, *given: browser.execute_script(f"const {names} = eq7; {body}", *given)


def curves_to_try() -> list[list[float]]:
    rng = np.random.default_rng(7)
    curves = []
    for count in (1, 2, 3, 7, 8, 9, 12, 17, 128, 129, 136, 300):  # numpy sums 8, 128 and more values differently
        steps = np.arange(1, count + 1)
        falling = rng.random() / steps ** rng.uniform(0.1, 2)
        curves += [falling, falling[::-1], np.full(count, rng.random()), np.zeros(count), steps % 2, rng.random(count)]
        curves += [np.round(3 * rng.random(count)) / 3, (falling + 0.01 * rng.random(count)).astype(np.float32)]
    return [np.asarray(curve, float).tolist() for curve in curves]


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 1.0, 1.95])
def test_the_plateaus_of_the_script_are_those_of_the_library(eq7, weight, lower):
    curves = curves_to_try()
    found = eq7("return arguments[0].map((one) => plateauStep(one, arguments[1], arguments[2]))", curves, weight, lower)
    assert found == [plateau_step(curve, weight, lower) for curve in curves]


def test_the_standard_deviations_of_the_script_are_numpys_to_the_last_bit(eq7):
    curves = curves_to_try()
    assert eq7("return arguments[0].map(spread)", curves) == [float(np.std(curve)) for curve in curves]


def test_noise_is_as_large_as_asked_for_and_the_same_for_the_same_seed(eq7):
    steps = list(range(1, 501))
    curve = np.linspace(1, 0, 500).tolist()
    ask = "return withNoise(arguments[0], arguments[1], arguments[2], arguments[3])"
    noisy, again, other = (np.array(eq7(ask, curve, steps, 0.2, seed)) for seed in (3, 3, 4))
    assert eq7(ask, curve, steps, 0, 3) == curve
    assert (noisy == again).all() and (noisy != other).all()
    assert (noisy - curve).std() == pytest.approx(0.2 * np.std(curve), rel=0.15)
    assert abs((noisy - curve).mean()) < 0.05 * np.std(curve)


def test_noise_lies_on_lines_between_the_sampled_steps(eq7):
    noise = np.array(eq7("return withNoise(arguments[0], [1, 3, 9], 0.3, 1)", [float(t % 2) for t in range(12)]))
    noise -= [t % 2 for t in range(12)]
    np.testing.assert_allclose(noise, np.interp(range(1, 13), [1, 3, 9], noise[[0, 2, 8]]), atol=1e-12)


@pytest.mark.parametrize(("goal", "expected"), [(13, 17), (12, 9), (9, 9), (1, 1), (500, 129), (107, 129), (90, 65)])
def test_the_nearest_picture_is_so_on_the_logarithmic_axis_that_is_shown(eq7, goal, expected):
    assert eq7("return nearest(arguments[0], arguments[1])", paper.STEP_COUNTS, goal) == expected


# --- which prompts -------------------------------------------------------------------------------------------------


def test_figure_2_comes_first_and_then_held_out_prompts_from_quick_to_slow():
    frame = read_scores(MINI.scores)
    held_out = set(split_by_prompt(frame)[1]["prompt_id"])
    chosen = choose_prompts(frame, 30)
    texts = dict(frame.select("prompt_id", "prompt").unique().iter_rows())
    assert [texts[key] for key in chosen[:2]] == list(FIGURE_2)
    assert len(set(chosen)) == 30 and set(chosen[2:]) <= held_out
    distance = frame.filter(pl.col("prompt_id").is_in(list(held_out))).group_by("prompt_id").agg(pl.mean("d_sim"))
    distance = dict(distance.iter_rows())
    ranks = sorted(distance.values())
    own = [distance[key] for key in chosen[2:]]
    assert own == sorted(own) and set(own) & set(ranks[:4]) and set(own) & set(ranks[-4:])


def test_training_prompts_fill_up_what_held_out_prompts_leave():
    frame = table([f"prompt {i}" for i in range(20)], curve=lambda row, steps: 0.5 / steps)
    held_out = set(split_by_prompt(frame)[1]["prompt_id"])
    chosen = choose_prompts(frame, 12)
    assert held_out < set(chosen) and len(set(chosen)) == 12
    assert len(choose_prompts(frame, 50)) == 20


def test_no_prompts_and_an_empty_table_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="ask for at least one"):
        gather(table(), None, 0)
    with pytest.raises(ValueError, match="no row with all three metrics"):
        gather(table().with_columns(d_sim=pl.lit(float("nan"))), None, 3)


def test_a_prompt_that_lacks_step_counts_keeps_those_it_has():
    frame = table(steps=(1, 2, 4, 8)).filter((pl.col("prompt_id") != 1) | ~pl.col("steps").is_in([2, 8]))
    by_prompt = {entry["prompt"]: entry for entry in gather(frame, None, 3)["prompts"]}
    assert "Not measured at 2, 8 steps" in " ".join(by_prompt[PROMPTS[1]]["remarks"])
    assert "Not measured" not in " ".join(by_prompt[PROMPTS[0]]["remarks"])
    measured = by_prompt[PROMPTS[1]]["measured"]["d_sim"]
    assert len(measured) == 8 and measured[3:] == [measured[3]] * 5


def test_measured_curves_are_those_of_the_score_table():
    frame = read_scores(MINI.scores)
    prompts, dense = dense_curves(frame)
    for entry in gather(frame, None, 5)["prompts"]:
        for name in METRICS:
            np.testing.assert_array_equal(entry["measured"][name], dense[name][prompts.index(entry["prompt"])])


# --- the page that stands alone ------------------------------------------------------------------------------------


def test_a_slider_moves_t_star_and_the_console_stays_clean(browser, random_profile, tmp_path):
    path = write_explorer(tmp_path / "explorer.html", random_profile, scores=table(), pictures=True)
    show(browser, path)
    assert "bundled miniature" in find(browser, ".notice")[0].text
    before = browser.execute_script(MOVE, {})
    slider = find(browser, "input[name=d_sim]")[0]
    for _ in range(4):
        slider.send_keys("\ue012")  # the left arrow
    assert find(browser, "input[name=d_sim] + output")[0].text == "0"
    after = browser.execute_script(MOVE, {})
    assert after != before
    assert find(browser, ".tstar-name")[0].text == f"t* = {after}"
    assert browser.execute_script(MOVE, {"noise": 0.5}) >= 1
    sizes = browser.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    assert sizes == [64] * (len(STEPS) + 2)
    assert len(find(browser, ".strip [data-mark='≈'], .strip [data-mark='=']")) == 1
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert all(name.startswith("data:") for name in fetched)
    assert browser.get_log("browser") == []


def test_t_star_of_every_prompt_and_weight_is_that_of_the_advisor(browser, tmp_path):
    show(browser, write_explorer(tmp_path / "explorer.html", "mini", pictures=False))
    advisor = StepAdvisor.from_pretrained("mini")
    prompts = [row["prompt"][1:-1] for row in browser.execute_script(CHOOSE)]
    assert len(prompts) == 50
    curves = advisor.curves(prompts).partition_by("prompt", as_dict=True)
    for weights in (dict(paper.WEIGHTS), {"l_snr": 0.1, "d_sim": 0.7, "i_clip": 0.05}, dict.fromkeys(METRICS, 0.0)):
        browser.execute_script(MOVE, weights)
        for row in browser.execute_script(CHOOSE):
            own = curves[(row["prompt"][1:-1],)]
            own = {name: own.filter(metric=name).sort("steps")["value"] for name in METRICS}
            assert row["steps"] == plateau_steps(own, weights)
    assert browser.get_log("browser") == []


def test_the_readings_can_be_changed_and_everything_put_back(browser, tmp_path):
    show(browser, write_explorer(tmp_path / "explorer.html", "mini", 2, pictures=False))
    start = browser.execute_script(MOVE, {})
    find(browser, "input[value=measured]")[0].click()
    measured = browser.execute_script(MOVE, {})
    frame = read_scores(MINI.scores)
    prompts, dense = dense_curves(frame)
    own = {name: rows[prompts.index(FIGURE_2[0])] for name, rows in dense.items()}
    assert measured == plateau_steps(own) != start
    assert f"By the predicted curves, t* is {start}." in find(browser, ".decided")[0].text
    browser.execute_script(MOVE, {"l_snr": 2, "noise": 0.3})
    find(browser, "input[value=predicted]")[0].click()
    next(button for button in find(browser, "button") if button.text == "back to the start").click()
    assert browser.execute_script(MOVE, {}) == start


@pytest.mark.parametrize("evaluations", [1, 2], ids=["one a step", "two a step"])
def test_a_picture_of_its_own_costs_the_same_whether_the_table_shared_the_first_evaluation_or_not(evaluations):
    """A shared evaluation is in the rows of the largest step count alone; drawn by itself, a picture pays for it."""
    steps = (1, 2, 3, 5, 9)
    evals = pl.col("steps").cast(pl.Int64) * evaluations
    shared = evals - (pl.col("steps") < max(steps)).cast(pl.Int64)

    def costs(made: pl.Expr) -> dict[str, list[float]]:
        noted = {"evals": made, "tflops": 4.3 * made, "seconds": 0.2 + 0.1 * made}
        return gather(table(steps=steps).with_columns(**noted).cast(SCHEMA), None, 1)["cost"]

    expected = evaluations * np.arange(1, 10)
    for made in (evals, shared):
        assert costs(made)["tflops"] == pytest.approx(4.3 * expected, rel=1e-5)
        assert costs(made)["seconds"] == pytest.approx(0.2 + 0.1 * expected, rel=1e-5)


def test_what_is_drawn_now_and_what_is_shipped_cost_alike(random_profile, tmp_path):
    """The shipped table was made before evaluations were shared; both say in ``evals`` what was really made."""
    drawn = read_scores(build_dataset(replace(random_profile, seeds=(0,)), ["a red circle"], tmp_path)[0].path)
    assert drawn["evals"].to_list() == [0, 1, 4]
    shipped = read_scores(MINI.scores)
    for frame in (drawn, shipped):
        cost = gather(frame, None, 1)["cost"]["tflops"]
        assert np.diff(cost) == pytest.approx(cost[0], rel=1e-4), "every step costs one evaluation, the first as well"
        assert cost[0] == pytest.approx(tflops_per_step(frame), rel=1e-4)


def test_strange_prompts_and_curves_that_never_plateau_are_shown_in_words(browser, tmp_path):
    prompts = [
        "</script><script>boom()</script> & <b>bold</b>",
        "日本語の公園, naïve café, 🦊",
        " ".join(f"word{i}" for i in range(300)),
        "a red circle",
    ]
    frame = table(prompts, seeds=1, curve=lambda row, steps: 0.5 if row < 3 else 0.1 * steps)
    frame = frame.with_columns(seconds=pl.lit(float("nan"), pl.Float32))
    show(browser, write_explorer(tmp_path / "explorer.html", "mini", scores=frame, pictures=False))
    rows = {row["prompt"][1:-1]: row for row in browser.execute_script(CHOOSE)}
    assert set(rows) == set(prompts)
    for prompt in prompts[:3]:
        assert rows[prompt]["steps"] == 1
    assert f"no word of {prompts[1]!r} is known" in rows[prompts[1]]["remarks"]
    assert "Measured with 1 seed;" in rows[prompts[0]]["remarks"]
    assert "not measured" in find(browser, "tbody")[0].text
    assert "No pictures were asked for." in " ".join(note.text for note in find(browser, ".notice"))
    for width in (1280, 400):
        seen_as(browser, width)
        assert not scrolls_sideways(browser)
        assert hindrances(browser) == [], "a long prompt scrolls, and is reached by keys"
    assert browser.get_log("browser") == []


def test_one_prompt_one_seed_and_one_step_count_still_make_a_page(browser, tmp_path, random_profile):
    path = write_explorer(
        tmp_path / "explorer.html", random_profile, 1, scores=table(PROMPTS[:1], steps=(1,), seeds=1), pictures=False
    )
    show(browser, path)
    assert len(find(browser, "article")) == 3
    find(browser, "input[value=measured]")[0].click()
    assert browser.execute_script(MOVE, {}) == 1
    assert browser.get_log("browser") == []


def test_a_profile_without_a_predictor_shows_what_was_measured_and_says_so(browser, tmp_path, random_profile):
    profile = replace(random_profile, name="own", advisor=str(tmp_path / "nowhere"))
    show(browser, write_explorer(tmp_path / "explorer.html", profile, scores=table(), pictures=False))
    assert "No curve is predicted, only measured" in find(browser, ".bf-explorer")[0].text
    assert not find(browser, "input[value=predicted]")[0].is_enabled()
    assert browser.execute_script(MOVE, {"d_sim": 0}) > 1
    assert browser.get_log("browser") == []


# --- the fourth curve ----------------------------------------------------------------------------------------------


def judged(frame: pl.DataFrame, **columns: pl.Series | pl.Expr) -> pl.DataFrame:
    """A score table with what its pictures show of what was asked: nothing, unless told otherwise."""
    nothing = {name: pl.lit(None, kind) for name, kind in truth.SCHEMA.items()}
    return frame.with_columns(**{**nothing, **columns})


def test_how_much_of_what_was_asked_is_shown_is_a_fourth_curve_beside_and_apart_from_t_star(browser, tmp_path):
    """Of the first prompt, the ground is right at once and the shapes from 4 steps on, in one of two pictures."""
    late = pl.col("steps").ge(4) & pl.col("seed").eq(0)
    verdict = [pl.lit(True), *[pl.lit(None, pl.Boolean)] * 3, late, *[pl.lit(None, pl.Boolean)] * 2]
    known = pl.when(pl.col("prompt_id") == 0).then(pl.concat_list(verdict))
    frame = judged(table(), verdicts=known, clip_score=pl.lit(0.3, pl.Float32))
    entries = {entry["prompt"]: entry["asked"] for entry in gather(frame, None, 3)["prompts"]}
    assert entries == {PROMPTS[0]: [(1, 0.5), (2, 0.5), (4, 0.75)], PROMPTS[1]: [], PROMPTS[2]: []}

    show(browser, write_explorer(tmp_path / "explorer.html", "mini", scores=frame, pictures=False))
    before = browser.execute_script(CHOOSE)
    shown = {row["prompt"][1:-1]: row["asked"] for row in before}
    assert (
        "not part of t*" in shown[PROMPTS[0]] and "75%" in shown[PROMPTS[0]] and "at 4 steps, 75%" in shown[PROMPTS[0]]
    )
    assert shown[PROMPTS[1]] is shown[PROMPTS[2]] is None
    show(browser, write_explorer(tmp_path / "plain.html", "mini", scores=table(), pictures=False))
    assert not find(browser, ".asked"), "a table that knows nothing of it"
    plain = browser.execute_script(CHOOSE)
    assert [(row["prompt"], row["steps"]) for row in plain] == [(row["prompt"], row["steps"]) for row in before]
    assert browser.get_log("browser") == []


def test_where_nobody_judged_the_fourth_curve_is_the_cosine_of_picture_and_prompt(browser, tmp_path):
    write_table(
        judged(table(), clip_score=(0.1 + 0.05 * pl.col("steps")).cast(pl.Float32)), tmp_path / "own.parquet", {}
    )
    path = write_explorer(tmp_path / "explorer.html", "mini", scores=tmp_path / "own.parquet", pictures=False)
    show(browser, path)
    find(browser, "input[value=measured]")[0].click()
    assert browser.execute_script(MOVE, {"l_snr": 0, "d_sim": 0, "i_clip": 0}) == 2
    assert "At t* 0.2 by cosine; at 4 steps, 0.3." in find(browser, ".asked")[0].text
    assert find(browser, ".asked svg[role=img]")[0].get_attribute("aria-label").startswith("Like its words over")


# --- for every reader ----------------------------------------------------------------------------------------------

INKS = """
const ground = getComputedStyle(document.querySelector(".bf-explorer")).backgroundColor;
const curves = [...document.querySelectorAll("article path.curve")];
const strokes = curves.map((curve) => getComputedStyle(curve).stroke);
return [ground, ...strokes].map((color) => color.match(/\\d+/g).map(Number));
"""


def brightness(color: Sequence[int]) -> float:
    """Relative luminance as WCAG defines it, of 0 to 255 each."""
    shares = [value / 255 for value in color[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_light_or_dark_wide_or_narrow_everything_can_be_read(browser, tmp_path, random_profile, dark):
    frame = judged(table(), clip_score=pl.lit(0.3, pl.Float32))
    path = write_explorer(tmp_path / "explorer.html", random_profile, scores=frame)
    for width in (1400, 400):
        seen_as(browser, width, dark)
        show(browser, path)
        assert hindrances(browser) == []
        assert not scrolls_sideways(browser) and smallest_letters(browser) >= 9
    ground, *curves = browser.execute_script(INKS)
    assert len(curves) == 4 and (brightness(ground) < 0.1) == dark
    for curve in curves:
        low, high = sorted((brightness(ground), brightness(curve)))
        assert (high + 0.05) / (low + 0.05) >= 3, "as graphics need"
    for drawing in find(browser, "article svg[role=img]"):
        assert re.search(r"at step 1, .* t\* is \d+|At t\*", drawing.get_attribute("aria-label"))
    seen_as(browser, 1280)


def test_in_jupyterlab_the_explorer_is_as_dark_as_the_theme_whatever_the_system_is(browser, tmp_path):
    show(browser, write_explorer(tmp_path / "explorer.html", "mini", 1, scores=table(), pictures=False))
    for dark in (False, True):
        seen_as(browser, 1280, not dark)
        browser.execute_script(f"document.body.dataset.jpThemeLight = '{str(not dark).lower()}'")
        assert (brightness(browser.execute_script(INKS)[0]) < 0.1) == dark
    seen_as(browser, 1280)


# --- the widget ----------------------------------------------------------------------------------------------------


def ask(explorer: Explorer, monkeypatch: pytest.MonkeyPatch, **question: object) -> dict:
    """What the kernel sends back to the script."""
    sent = []
    monkeypatch.setattr(explorer, "send", sent.append)
    explorer._handle_custom_msg({"id": "7", **question}, [])
    assert len(sent) == 1 and sent[0]["id"] == "7"
    return sent[0]


def test_the_kernel_predicts_typed_prompts_and_quotes_the_advisor(random_profile, monkeypatch):
    explorer = explore(random_profile, 1, scores=table())
    curves = ask(explorer, monkeypatch, kind="curves", prompt="a red circle")["predicted"]
    expected = StepAdvisor.from_pretrained("mini").curves("a red circle")
    for name in METRICS:
        assert curves[name] == expected.filter(metric=name).sort("steps")["value"].to_list()
    half = ask(explorer, monkeypatch, kind="curves", prompt="a red blorb")
    assert half["predicted"] and "does not know 'blorb'" in half["remarks"][0]
    none = ask(explorer, monkeypatch, kind="curves", prompt="xyzzy")
    assert none["predicted"] is None and "no word of 'xyzzy' is known" in none["remarks"][0]


def test_the_kernel_draws_a_picture_in_any_number_of_steps_or_says_why_not(random_profile, monkeypatch, tmp_path):
    explorer = explore(random_profile, 1, scores=table())
    three, two = (ask(explorer, monkeypatch, kind="picture", prompt="a red circle", steps=t)["picture"] for t in (3, 2))
    assert three.startswith("data:image/webp;base64,") and three != two
    nowhere = explore(replace(random_profile, pipeline=str(tmp_path / "nowhere")), 1, scores=table())
    answer = ask(nowhere, monkeypatch, kind="picture", prompt="a red circle", steps=3)
    assert "model_index.json is missing" in answer["sorry"]


@pytest.fixture
def lab(tmp_path):
    """JupyterLab with one notebook of one cell, and nobody's settings but its own."""
    cell = nbformat.v4.new_code_cell("from bfkit.explorer import explore\nexplore(prompts=2)")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), tmp_path / "one.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    options = ("--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=")
    offline = "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", *options, f"--ServerApp.root_dir={tmp_path}", offline],
        env={**os.environ, **{name: str(tmp_path / name.lower()) for name in (*own, "IPYTHONDIR")}},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/lab/tree/one.ipynb"
    server.terminate()
    server.wait()


@pytest.mark.slow
def test_in_jupyterlab_keys_move_the_sliders_and_typed_prompts_are_predicted_and_drawn(browser, lab):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.get_log("browser")
    browser.get(lab)
    seen_as(browser, 1280)
    wait(browser, lambda _: find(browser, ".jp-Notebook-ExecutionIndicator[data-status=idle]"))
    time.sleep(1)  # it builds its cells anew once the kernel is there
    find(browser, ".jp-CodeCell .cm-content")[0].click()
    ActionChains(browser).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    wait(browser, lambda _: find(browser, ".bf-explorer"), 240)
    wait(browser, lambda _: len(find(browser, ".strip img")) == len(paper.STEP_COUNTS), 240)

    slider = find(browser, "input[name=i_clip]")[0]
    slider.send_keys(Keys.ARROW_UP, Keys.ARROW_RIGHT)
    assert slider.get_attribute("value") == "0.6"

    typed = find(browser, "input[name=typed]")[0]
    typed.send_keys("a red circle on a blorb wall")
    wait(browser, lambda _: "red circle" in find(browser, ".bf-explorer .prompt")[0].text)
    assert "does not know 'blorb'" in find(browser, ".remarks")[0].text
    wait(browser, lambda _: len(find(browser, ".strip img")) == len(paper.STEP_COUNTS), 240)
    browser.execute_script(MOVE, {"i_clip": 0.5, "l_snr": 0.3})
    drawn = [button for button in find(browser, ".bf-explorer button") if button.text.startswith("draw it in")]
    if drawn:  # unless t* is one of the sampled steps
        drawn[0].click()
        wait(browser, lambda _: len(find(browser, ".strip img")) == len(paper.STEP_COUNTS) + 1)
    assert find(browser, ".strip [data-mark='=']")
    typed.send_keys(Keys.BACKSPACE * 40)
    wait(browser, lambda _: FIGURE_2[0] in find(browser, ".bf-explorer .prompt")[0].text)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
