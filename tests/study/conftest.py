"""A study and its answers, for those that serve it."""

import polars as pl
import pytest
from study_helpers import pictures

from bfkit import study


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("study")
    study.build(pictures(14), path, trials=10, checks=2, practice=1, repeats=1)
    return path


@pytest.fixture(scope="session")
def answers(folder) -> pl.DataFrame:
    """Of a hundred participants."""
    return study.simulate(study.read_study(folder), study.Observers(0.5, participants=100), seed=1)
