"""A comparison is one table, whoever made its parts: one process or two, one run or several, killed or not."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from bfkit.evaluation import compare as entries
from bfkit.evaluation import compare_plan, compare_run
from bfkit.evaluation.compare_run import compare
from bfkit.mini.models import CLASSES
from bfkit.models.perceptual import PerceptualEmbedder, save_embedder

PROMPTS = {3: "a white and empty wall", 8: "two red circles on a beach", 9: "a crowd in a park", 11: "a blue star"}
SYSTEMS = ["DPM-Solver++ 2M"]


@pytest.fixture(scope="module")
def profile(random_profile, tmp_path_factory):
    """Few steps, random weights; the advisor is the shipped one, which reads words with the shipped CLIP."""
    folder = tmp_path_factory.mktemp("classifier")
    save_embedder(PerceptualEmbedder(len(CLASSES)), folder)
    return replace(random_profile, step_counts=(1, 2, 3), seeds=(0, 1), batch=2, classifier=str(folder))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A few entries in blocks of two prompts."""
    monkeypatch.setattr(entries, "COMBINED", ())
    monkeypatch.setattr(entries, "SHARES", (0.5,))
    monkeypatch.setattr(entries.paper, "REFERENCE_STEPS", 2)
    monkeypatch.setattr(compare_plan, "PICTURES", 4)
    advise = compare_plan.StepAdvisor.steps
    monkeypatch.setattr(
        compare_plan.StepAdvisor, "steps", lambda *asked: advise(*asked).with_columns(steps=compare_plan.pl.col("steps") % 3 + 1)
    )
