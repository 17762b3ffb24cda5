"""A data set of any length takes the memory of one shard."""

import subprocess
import sys
from dataclasses import replace

import families
import pytest

RUN = """
import resource
from pathlib import Path
from types import SimpleNamespace
import torch
from bfkit import build_dataset
from bfkit.dataset.executors import work
from bfkit.metrics.scorer import Scorer
from bfkit.profiles import *

eye = SimpleNamespace(device="cpu", model=torch.nn.Identity(), embed_images=lambda images: images.mean((2, 3)))
work.load_scorer = lambda *_: Scorer(lambda images: images.mean((2, 3)), eye, i_clip="image")
prompts = [f"{{number}} blue stars on a yellow background" for number in range({count})]
build_dataset({profile!r}, prompts, Path({folder!r}))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
TOLERANCE = 64  # MiB, for allocators that keep what they are given back; 9,900 prompts more are 1 MiB of text


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_prompts(tmp_path):
    profile = families.save_tiny("sd2", tmp_path / "pipeline")
    profile = replace(profile, clip="none", perceptual="none", seeds=(0,), step_counts=(1, 2), batch=32)

    def peak(count: int) -> int:
        """Largest resident memory of a run in MiB."""
        code = RUN.format(profile=profile, count=count, folder=str(tmp_path / str(count)))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    few, many = peak(100), peak(10_000)
    assert many < few + TOLERANCE, f"{few} MiB for 100 prompts, {many} MiB for 10,000"
