"""The curve predictor learns what the prompt tells, comes back from its folder, and its baselines are what they say."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bfkit import paper
from bfkit.metrics.registry import METRICS
from bfkit.predictor import model
from bfkit.predictor.model import (
    CurvePredictor,
    absolute_error,
    fit_curve,
    fit_predictors,
    load_predictors,
    mean_curve,
    monotone,
    nearest_curve,
    save_predictors,
)
from bfkit.predictor.networks import NETWORKS
from bfkit.profiles import PredictorSettings

STEPS, WIDTH = 16, 8
SETTINGS = PredictorSettings(
    layers=1, hidden=16, mlp=16, dropout=0.0, batch=16, rate=0.01, grid=tuple(range(1, STEPS + 1))
)
BRIEF = replace(SETTINGS, epochs=dict.fromkeys(paper.METRICS, 1))


def prompts(count: int, seed: int) -> torch.Tensor:
    """Normalised rows, as a text model gives them."""
    rows = torch.randn((count, WIDTH), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def decays(rows: torch.Tensor) -> np.ndarray:
    """Falling curves whose rate is told by the first coordinate of the prompt."""
    rate = np.exp(1.5 * rows[:, :1].numpy() - 1.5)
    return np.exp(-rate * np.arange(STEPS))


def three_curves(rows: torch.Tensor) -> dict[str, np.ndarray]:
    curve = decays(rows)
    return {"l_snr": 0.5 * curve, "d_sim": curve, "i_clip": 1 - curve}


@pytest.fixture(scope="module")
def trained():
    """Predictors of all three metrics after one epoch, and the rows they saw."""
    rows = prompts(48, seed=0)
    return fit_predictors(rows, three_curves(rows), BRIEF), rows


# --- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "steps", "layers"), [(1, 5, 1), (7, 16, 2), (3, 129, 1)])
def test_a_curve_has_one_value_a_step_between_0_and_1(count, steps, layers):
    torch.manual_seed(0)
    network = CurvePredictor(WIDTH, replace(SETTINGS, grid=tuple(range(1, steps + 1)), layers=layers)).eval()
    with torch.no_grad():
        curves = network(prompts(count, seed=1))
        wild = network(1e3 * prompts(count, seed=1))
    assert curves.shape == (count, steps)
    for values in (curves, wild):
        assert ((values > 0) & (values < 1)).all()


def test_the_default_network_has_the_papers_sizes():
    network = CurvePredictor(512, PredictorSettings()).network
    assert (network.lstm.num_layers, network.lstm.hidden_size, network.lstm.bidirectional) == (2, 512, True)
    linear = [layer for layer in network.mlp if isinstance(layer, torch.nn.Linear)]
    assert [linear[0].in_features, *(layer.out_features for layer in linear)] == [1024, 128, 1]
    assert network.inputs.step.num_embeddings == paper.TARGET_STEPS


@pytest.mark.parametrize("name", NETWORKS)
def test_prompt_and_step_decide_a_value_unless_the_ablation_takes_one_away(name):
    torch.manual_seed(0)
    network = CurvePredictor(WIDTH, replace(SETTINGS, network=name)).eval()
    with torch.no_grad():
        curves = network(prompts(2, seed=1))
    assert curves.shape == (2, len(SETTINGS.grid))
    assert ((curves[0] - curves[1]).abs().max() > 1e-3) == (name != "BiLSTM w/o prompt")
    assert (curves.diff(dim=1).abs() > 1e-6).all(), "without a step encoding, the LSTM still knows the ends"


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_that_reads_the_prompt_beats_the_mean_curve(name):
    train, test = prompts(320, seed=0), prompts(64, seed=1)
    network = fit_curve(train, decays(train), replace(SETTINGS, network=name), epochs=25, seed=0)
    with torch.no_grad():
        error = absolute_error({"d_sim": network(test).numpy()}, {"d_sim": decays(test)})["d_sim"].mean()
    baseline = absolute_error(mean_curve({"d_sim": decays(train)}, len(test)), {"d_sim": decays(test)})["d_sim"].mean()
    assert (error < 0.6 * baseline) == (name != "BiLSTM w/o prompt")
    assert error < 1.05 * baseline


def test_a_step_encoding_that_is_taken_away_is_not_learnt_either():
    train = prompts(40, seed=0)
    settings = replace(SETTINGS, network="BiLSTM w/o step encoding")
    network = fit_curve(train, decays(train), settings, epochs=2, seed=0)
    assert not network.network.inputs.step.weight.any()


def test_a_prompts_curve_does_not_depend_on_its_company(trained):
    predictors, rows = trained
    together = predictors(rows)
    for name, curve in predictors(rows[3:4]).items():
        np.testing.assert_allclose(curve[0], together[name][3], atol=1e-6)


# --- training -------------------------------------------------------------------------------------------------------


def test_a_curve_told_by_the_prompt_is_learnt_for_prompts_never_seen():
    train, test = prompts(320, seed=0), prompts(64, seed=1)
    losses: list[float] = []
    network = fit_curve(train, decays(train), SETTINGS, epochs=25, seed=0, progress=losses.append)
    with torch.no_grad():
        predicted = {"d_sim": network(test).numpy()}
    measured = {"d_sim": decays(test)}
    error = absolute_error(predicted, measured)["d_sim"].mean()
    baseline = absolute_error(mean_curve({"d_sim": decays(train)}, len(test)), measured)["d_sim"].mean()
    assert error < 0.3 * baseline
    assert len(losses) == 25
    assert losses[-1] < 0.1 * losses[0]


def test_the_seed_decides_the_training():
    rows = prompts(48, seed=0)
    settings = replace(SETTINGS, dropout=0.3, layers=2)
    curves = []
    for seed in (1, 1, 2):
        torch.manual_seed(100 * len(curves))  # whatever was drawn before
        network = fit_curve(rows, decays(rows), settings, epochs=2, seed=seed)
        curves.append(network(rows).detach())
    assert torch.equal(curves[0], curves[1])
    assert not torch.equal(curves[0], curves[2])


def test_every_metric_gets_its_own_network_as_long_as_its_curve(trained):
    predictors, rows = trained
    curves = predictors(rows)
    assert tuple(curves) == paper.METRICS
    assert predictors.settings.grid == tuple(range(1, STEPS + 1))
    for name, values in curves.items():
        assert values.shape == (48, STEPS)
        assert values.dtype == np.float32
        alone = fit_curve(rows, three_curves(rows)[name], BRIEF, epochs=1)
        np.testing.assert_array_equal(values, alone(rows).detach().numpy())


def test_all_of_an_epoch_is_computed_where_the_embeddings_lie_and_only_its_loss_is_read():
    """On the device without values, a batch that reads one, or that mixes devices, fails at once; so does the epoch's
    end, where the loss of all its batches is asked for.
    """
    seen = []
    rows = prompts(48, seed=0).to("meta")
    settings = replace(SETTINGS, dropout=0.3, layers=2)
    with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta") as failed:
        fit_curve(rows, decays(prompts(48, seed=0)), settings, epochs=1, progress=seen.append)
    assert not seen and "progress(total.item()" in str(failed.traceback[1].statement)


def test_curves_are_predicted_block_by_block_as_all_at_once(trained, monkeypatch):
    predictors, rows = trained
    whole = predictors(rows)
    monkeypatch.setattr(model, "BLOCK", 7)
    for name, curves in predictors(rows).items():
        np.testing.assert_allclose(curves, whole[name], atol=1e-6)


# --- its folder -----------------------------------------------------------------------------------------------------


def test_predictors_come_back_from_their_folder_exactly(trained, tmp_path):
    predictors, rows = trained
    notes = {"prompts": 48, "examples": ["a night sky"], "clip": "../clip"}
    save_predictors(predictors, tmp_path / "advisor", notes)
    loaded, read = load_predictors(tmp_path / "advisor")
    assert read == notes
    assert loaded.settings == predictors.settings
    assert loaded.embed_dim == WIDTH
    for name, curve in predictors(rows).items():
        np.testing.assert_array_equal(loaded(rows)[name], curve)


def test_predictors_of_some_metrics_come_back_as_well(tmp_path):
    rows = prompts(16, seed=0)
    predictors = fit_predictors(rows, {"d_sim": decays(rows)}, BRIEF)
    save_predictors(predictors, tmp_path, {})
    loaded, _ = load_predictors(tmp_path)
    assert tuple(loaded.networks) == ("d_sim",)
    np.testing.assert_array_equal(loaded(rows)["d_sim"], predictors(rows)["d_sim"])


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_is_refused_naming_it(trained, tmp_path, missing):
    save_predictors(trained[0], tmp_path, {})
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"no trained predictor in .*{missing} is missing.*bfkit train"):
        load_predictors(tmp_path)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*config\.json"):
        load_predictors(tmp_path / "nowhere")


@pytest.mark.parametrize("damaged", ["config.json", "model.safetensors"])
def test_a_file_cut_short_is_named_in_a_sentence(trained, tmp_path, damaged):
    save_predictors(trained[0], tmp_path, {})
    path = tmp_path / damaged
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=damaged):
        load_predictors(tmp_path)


# --- baselines and errors -------------------------------------------------------------------------------------------


def test_the_mean_curve_is_the_same_for_every_prompt():
    rows = prompts(20, seed=3)
    train = three_curves(rows)
    for name, curves in mean_curve(train, 5).items():
        assert curves.shape == (5, STEPS)
        for curve in curves:
            np.testing.assert_allclose(curve, [math.fsum(column) / 20 for column in train[name].T])


def test_the_nearest_curve_is_that_of_the_most_similar_prompt_whatever_its_length():
    train_rows, rows = prompts(30, seed=3), prompts(12, seed=4)
    train = three_curves(train_rows)
    scaled = train_rows * torch.linspace(0.1, 30, 30)[:, None]
    chosen = [int(np.argmax([float(row @ other) for other in train_rows.double()])) for row in rows.double()]
    assert len(set(chosen)) > 3
    for name, curves in nearest_curve(scaled, train, rows * 7).items():
        np.testing.assert_array_equal(curves, train[name][chosen])


def test_a_training_prompt_is_its_own_nearest():
    rows = prompts(30, seed=3)
    train = three_curves(rows)
    for name, curves in nearest_curve(rows, train, rows).items():
        np.testing.assert_array_equal(curves, train[name])


def test_the_absolute_error_is_the_mean_over_steps_of_each_prompt():
    rng = np.random.default_rng(0)
    predicted, measured = ({name: rng.random((6, STEPS)) for name in paper.METRICS} for _ in range(2))
    errors = absolute_error(predicted, measured)
    assert tuple(errors) == paper.METRICS
    for name, values in errors.items():
        pairs = zip(predicted[name], measured[name], strict=True)
        expected = [sum(abs(a - b) for a, b in zip(*pair, strict=True)) / STEPS for pair in pairs]
        np.testing.assert_allclose(values, expected)
    assert all((values == 0).all() for values in absolute_error(measured, measured).values())


# --- monotone curves --------------------------------------------------------------------------------------------------


def test_a_monotone_curve_never_turns_back_and_is_the_nearest_such():
    """Against a brute-force search over all falling curves on a grid of values."""
    curve = np.array([[0.9, 0.5, 0.6, 0.1, 0.4]])
    made = monotone(curve, rising=False)
    assert (np.diff(made) <= 1e-12).all()
    grid = np.linspace(1, 0, 21)
    falling = itertools.combinations_with_replacement(grid, 5)
    best = min(float(((np.array(row) - curve) ** 2).sum()) for row in falling)
    assert ((made - curve) ** 2).sum() <= best + 1e-12
    np.testing.assert_allclose(made, [[0.9, 0.55, 0.55, 0.25, 0.25]])
    np.testing.assert_allclose(monotone(-curve, rising=True), -made)


def test_a_monotone_predictor_follows_its_metrics_direction_and_stays_so_when_saved(tmp_path):
    rows = prompts(48, seed=0)
    predictors = fit_predictors(rows, three_curves(rows), replace(BRIEF, monotone=True))
    save_predictors(predictors, tmp_path, {})
    wiggly = torch.randn(24, WIDTH, generator=torch.Generator().manual_seed(5)) * 30
    for curves in (predictors(wiggly), load_predictors(tmp_path)[0](wiggly)):
        for name, values in curves.items():
            sign = 1 if METRICS[name].lower_is_better else -1
            assert (sign * np.diff(values) <= 1e-6).all(), name


def test_as_the_paper_words_it_a_sigmoid_spans_all_and_errors_count_alike():
    """Curves that nobody can tell apart but at one step: the plain network still answers with a plain sigmoid."""
    prompts = torch.nn.functional.normalize(torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    curves = np.full((12, 5), 0.3)
    curves[:, 4] = np.linspace(0.2, 0.4, 12)
    settings = PredictorSettings(layers=2, hidden=4, mlp=8, batch=4, grid=(1, 2, 3, 4, 5), plain=True, dropout=0.5)
    network = fit_curve(prompts, curves, settings, epochs=1)
    assert torch.equal(network.low, torch.zeros(5)) and torch.equal(network.high, torch.ones(5))
    assert network.network.lstm.dropout == 0 and network.network.inputs.scale == 1
    untrained = network(prompts)
    assert (untrained[:, 0] - 0.3).abs().max() > 0.05, "it does not know the step's range beforehand"
    knowing = fit_curve(prompts, curves, replace(settings, plain=False), epochs=1)
    assert (knowing(prompts)[:, 0] - 0.3).abs().max() < 1e-6


def test_the_paper_names_no_falling_rate():
    rates = {}
    for plain in (True, False):
        seen, step = [], torch.optim.Adam.step

        def note(self, *args, seen=seen, step=step, **kwargs):
            seen.append(self.param_groups[0]["lr"])
            return step(self, *args, **kwargs)

        settings = PredictorSettings(layers=1, hidden=4, mlp=8, batch=4, grid=(1, 2), plain=plain, rate=0.01)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.Adam, "step", note)
            fit_curve(torch.randn(8, 3), np.random.default_rng(0).random((8, 2)), settings, epochs=3)
        rates[plain] = seen
    assert set(rates[True]) == {0.01} and rates[False][-1] < 0.003
