"""An estimate's figures are those of the data set that follows, and each says where it comes from."""

from dataclasses import replace

import polars as pl
import pytest
import torch

from bfkit import paper
from bfkit.dataset import measure
from bfkit.dataset.build import build_dataset
from bfkit.dataset.estimate import NOT_MEASURED, count_tflops, describe, estimate, evaluations_a_set, probe
from bfkit.dataset.table import read_scores
from bfkit.profiles import PROFILES
from bfkit.sampling import cost


@pytest.fixture(scope="module")
def brief(random_profile):
    return replace(random_profile, step_counts=(1, 2, 9), batch=4, more_seeds=(random_profile.seeds[-1] + 1,))


def figures(rows) -> dict[str, float | None]:
    return dict(rows.select("quantity", "value").iter_rows())


def sources(rows) -> dict[str, str]:
    return dict(rows.select("quantity", "how").iter_rows())


@pytest.fixture(scope="module")
def planned(brief):
    return estimate(brief, 6, gpus=2, keep_images=True)


@pytest.fixture(scope="module")
def made(brief, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    prompts = [f"{word} red circles on a white wall" for word in ("one", "two", "three", "four", "five", "six")]
    build_dataset(brief, prompts, folder, keep_images=True)
    return folder


def test_the_papers_step_counts_take_344_evaluations_a_prompt_and_seed():
    assert evaluations_a_set(paper.STEP_COUNTS) == 344
    assert evaluations_a_set((65,)) == 65


def test_images_evaluations_and_operations_are_those_of_the_data_set(planned, made):
    rows, found = read_scores(made), figures(planned)
    assert found["prompts"] == 6
    assert found["images"] == len(rows)
    assert found["evaluations"] == rows["evals"].sum()
    assert found["shards"] == len(list(made.glob("shard-*")))
    assert found["operations"] * 1e3 > rows["tflops"].sum(), "decoding comes on top"


def test_bytes_are_about_those_of_the_data_set(planned, made):
    found = figures(planned)
    shards = sum(path.stat().st_size for path in made.glob("shard-*"))
    pictures = sum(path.stat().st_size for path in made.rglob("*.webp"))
    assert found["parquet"] * 1e6 == pytest.approx(shards, rel=0.3)
    assert found["WebP"] * 1e6 == pytest.approx(pictures, rel=0.5)


def test_a_probe_measures_time_and_says_so_but_no_energy_without_a_gpu(planned):
    found, how = figures(planned), sources(planned)
    assert 0 < found["time on one device"] < 1
    assert found["time on 2"] == found["time on one device"] / 2, "a shard each"
    assert how["time on one device"].startswith("measured, 4 pictures at once on ")
    assert found["energy"] is None and how["energy"] == NOT_MEASURED


def test_the_probes_time_is_the_sum_of_evaluations_and_pictures(brief, monkeypatch):
    """On a clock that ticks 3 s an evaluation and 5 s a picture."""
    ticks = [0.0]

    class Meter:
        joules = None

        def __init__(self, _):
            pass

        def __enter__(self):
            self.began = ticks[0]
            return self

        def __exit__(self, *_):
            self.seconds = ticks[0] - self.began

    def measure(pipe, scorer, profile, prompts, first_id, tflops, keep):
        evals = evaluations_a_set(profile.step_counts)
        ticks[0] += len(prompts) * (3.0 * evals + 5.0 * len(profile.step_counts))
        rows = pl.DataFrame({"evals": [evals] * len(prompts)})
        return rows, rows.clear()

    monkeypatch.setattr("bfkit.dataset.estimate.EnergyMeter", Meter)
    monkeypatch.setattr("bfkit.dataset.estimate.measure_prompts", measure)
    price = probe(brief, "cpu")
    assert (price.evaluation, price.besides) == (pytest.approx(3), pytest.approx(5))
    assert "1 pictures at once" in price.how, "a device that slow is not kept busy longer than need be"


@pytest.mark.slow
def test_a_probe_says_how_many_pictures_memory_held_not_how_many_were_asked_for(brief, monkeypatch):
    draw = measure._measure_batch

    def short_of_memory(pipe, scorer, profile, conditions, keys, *others):
        if len(keys) > 3:
            raise torch.OutOfMemoryError
        return draw(pipe, scorer, profile, conditions, keys, *others)

    monkeypatch.setattr(measure, "_measure_batch", short_of_memory)
    assert probe(brief, "cpu").how.startswith("measured, 2 pictures at once on ")


def test_operations_of_sd2_without_its_weights_are_known_exactly():
    evaluation, besides = count_tflops(PROFILES["sd2"])
    assert evaluation == pytest.approx(4.298, abs=5e-4)
    assert besides == pytest.approx(5.754, abs=5e-4)  # the decoder, at 768 pixels
    assert count_tflops(replace(PROFILES["sd2"], guidance=1.0))[0] == pytest.approx(4.298 / 2, abs=5e-4)


def test_operations_of_a_local_pipeline_are_its_own(brief, pipe):
    evaluation, besides = count_tflops(brief)
    assert evaluation == pytest.approx(cost.tflops_per_evaluation(pipe, brief))
    latents = torch.zeros(1, 4, brief.image_size // pipe.vae_scale_factor, brief.image_size // pipe.vae_scale_factor)
    with cost.flop_counter() as counter, torch.inference_mode():
        pipe.vae.decode(latents)
    assert besides >= counter.get_total_flops() / 1e12
    assert besides == pytest.approx(counter.get_total_flops() / 1e12, rel=0.2)


def test_with_a_rate_hours_follow_from_operations_and_nothing_is_loaded(monkeypatch):
    monkeypatch.setattr("bfkit.dataset.estimate.load_pipeline", lambda *_: pytest.fail("a model was loaded"))
    found = figures(estimate(PROFILES["sd2"], 500, gpus=8, tflops=300.0, watts=700.0))
    hours = 500 * 4 * (344 * 4.2982 + 12 * 5.7543) / 300 / 3600
    assert found["time on one device"] == pytest.approx(hours, rel=1e-4)
    assert found["time on 8"] == pytest.approx(hours * 8 / 63, rel=1e-4), "the busiest of 8 makes 8 of 63 shards"
    assert found["energy"] == pytest.approx(hours * 0.7, rel=1e-4)


def test_what_nobody_measured_or_gave_is_not_measured():
    rows = estimate(PROFILES["sd2"], 500, keep_images=True)
    found, how = figures(rows), sources(rows)
    assert found["evaluations"] == 688_000
    for name in ("time on one device", "energy", "WebP"):
        assert found[name] is None and how[name].startswith(NOT_MEASURED), name
    assert "give the TFLOP/s" in how["time on one device"]


def test_an_unknown_architecture_is_no_hindrance_until_its_operations_are_needed():
    rows = estimate(PROFILES["flux"], 500)
    assert figures(rows)["evaluations"] == 688_000
    assert "name a local pipeline" in sources(rows)["operations"]
    with pytest.raises(ValueError, match="the architecture of 'flux' is not listed"):
        estimate(PROFILES["flux"], 500, tflops=300.0)


@pytest.mark.parametrize("name", ["prompts", "gpus", "tflops", "watts"])
@pytest.mark.parametrize("value", [0, -1])
def test_numbers_that_mean_nothing_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a number above 0; got {value}"):
        estimate(PROFILES["sd2"], **{"prompts": 5, name: value})


def test_a_plan_as_text_has_a_line_a_quantity_with_its_source():
    lines = describe(estimate(PROFILES["sd2"], 18_384, tflops=300.0)).splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "prompts", "images", "shards", "evaluations", "operations", "time on one device", "energy", "parquet",
    ]  # fmt: skip
    assert "882,432" in lines[1] and "counted" in lines[1]
    assert "25,296,384" in lines[3]
    assert NOT_MEASURED in lines[6]
