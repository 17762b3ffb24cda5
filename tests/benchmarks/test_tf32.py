import torch

from bfkit.benchmarks import tf32


def test_without_a_gpu_nothing_is_measured_and_nothing_is_loaded():
    assert {found["value"] for found in tf32.measure("cpu").values()} == {"not measured"}


def test_the_measures_are_taken_of_any_scorer_and_float32_is_as_exact_as_before(scorer):
    """On a CPU nothing is rounded, so that all errors are 0."""
    found = tf32.compare(scorer, "cpu", 2)
    assert set(found) == set(tf32.UNITS)
    assert [found[name] for name in list(tf32.UNITS)[2:]] == [0, 0, 0]
    assert torch.get_float32_matmul_precision() == "highest"
