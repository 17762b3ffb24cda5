"""A device is chosen once, refused in a sentence where it is missing; what is named is what was used."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bfkit.benchmarks import sd2_gpu
from bfkit.dataset.build import build_dataset, dataset_prompts
from bfkit.dataset.estimate import estimate
from bfkit.dataset.table import read_scores
from bfkit.devices import choose_device, device_name, hardware
from bfkit.evaluation import learning_curve, prediction, table1
from bfkit.explorer import explore, write_explorer
from bfkit.metrics.inception import load_classifier
from bfkit.metrics.scorer import load_scorer
from bfkit.models.clip import load_clip
from bfkit.models.pipelines import load_pipeline
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.training import train_advisor
from bfkit.profiles import PROFILES
from bfkit.report import reproduce

MINI = PROFILES["mini"]
OUT = Path("never-made")
COMPUTE = {
    "load_pipeline": lambda device: load_pipeline(MINI, device),
    "load_clip": lambda device: load_clip(MINI.clip, device),
    "load_scorer": lambda device: load_scorer(MINI, device),
    "load_classifier": lambda device: load_classifier(MINI, device),
    "StepAdvisor": lambda device: StepAdvisor.from_pretrained("mini", device),
    "train_advisor": lambda device: train_advisor(MINI, OUT, device=device),
    "table1": lambda device: table1.networks(MINI, read_scores(MINI.scores), device=device),
    "learning_curve": lambda device: learning_curve.trainings(MINI, device=device),
    "synthetic_plateaus": lambda device: prediction.synthetic_plateaus(MINI.predictor, device=device),
    "dataset_prompts": lambda device: dataset_prompts(MINI, OUT, count=2, device=device),
    "build_dataset": lambda device: build_dataset(MINI, ["a wall"], OUT, device),
    "estimate": lambda device: estimate(MINI, 2, device),
    "explore": lambda device: explore("mini", 1, device=device),
    "write_explorer": lambda device: write_explorer(OUT, "mini", 1, device=device),
    "reproduce": lambda device: reproduce.run(MINI, OUT, device=device),
}


@pytest.mark.parametrize("name", COMPUTE)
def test_all_that_computes_takes_a_device_and_refuses_one_that_is_not_there(name):
    with pytest.raises(ValueError, match=r"no device cuda:99: torch finds \d+ CUDA devices; choose cpu"):
        COMPUTE[name]("cuda:99")
    assert not OUT.exists()


def test_none_is_the_best_there_is_and_a_word_that_is_no_device_is_named():
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(ValueError, match="unknown device 'gpu': choose cpu, cuda or cuda:N"):
        choose_device("gpu")


def test_only_a_cpu_is_called_by_the_cpus_name():
    assert hardware("cpu")["device"] == device_name(torch.device("cpu")) != "cpu"
    assert device_name(torch.device("meta")) == "meta"


@pytest.mark.slow
def test_the_hardware_named_is_that_of_the_models_that_were_loaded():
    code = (
        "from bfkit import StepAdvisor, devices, load_pipeline, get_profile; import torch;"
        "assert devices.used_hardware() == []; devices.choose_device('cpu'); assert devices.used_hardware() == [];"
        "StepAdvisor.from_pretrained('mini', 'meta'); assert devices.used_hardware() == ['meta'];"
        "load_pipeline(get_profile('mini'), 'cpu');"
        "assert devices.used_hardware() == ['meta', devices.device_name(torch.device('cpu'))]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_advisors_parts_all_lie_on_its_device():
    advisor = StepAdvisor.from_pretrained("mini", "meta")
    parts = [advisor.clip.model, *advisor.predictors.networks.values()]
    assert {value.device.type for part in parts for value in part.state_dict().values()} == {"meta"}
    assert advisor.clip.embed_texts(["a wall"]).device.type == "meta"


def test_a_classifier_takes_pictures_from_wherever_they_are():
    classify = load_classifier(MINI, "meta")
    assert classify(torch.rand(2, 3, 64, 64)).device.type == "meta"


def test_what_is_measured_on_gpus_is_not_measured_on_a_cpu():
    assert {found["value"] for found in sd2_gpu.measure(torch.device("cpu")).values()} == {"not measured"}


def test_memory_is_given_back_once_the_model_that_chose_the_prompts_is_gone(tmp_path, monkeypatch):
    """What is left on a GPU when prompts are chosen is kept from the processes that draw."""
    import gc

    def models() -> int:
        return sum(type(found).__name__ == "CoCa" for found in gc.get_objects())

    before, given_back = models(), []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(models()))
    (tmp_path / "few.txt").write_text("a white and empty wall\na crowd of people in a park\n")
    assert len(dataset_prompts(MINI, tmp_path, str(tmp_path / "few.txt"), count=2, device="cpu")) == 2
    assert given_back == [before]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_synthetic_curves_are_learnt_on_the_device(device):
    settings = MINI.predictor
    if device == "cpu":
        found = prediction.synthetic_plateaus(settings, epochs=1, train=40, test=4, device=device)
        assert np.isfinite(found["predicted"].to_numpy()).all()
    else:  # all of the first epoch runs there; then its loss is read, which has no value
        with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta"):
            prediction.synthetic_plateaus(settings, epochs=1, train=40, test=4, device=device)
