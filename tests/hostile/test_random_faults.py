"""Random faults at random moments of every command that writes: it ends with a sentence, and the next run mends all.

Every draw is one seed, which the test's name prints: ``HOSTILE_SEED=7 pytest -m "" tests/hostile -k 7``.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from dataset_helpers import contents

from bfkit.cli.interruption import STOPPED
from bfkit.dataset.table import read_scores, write_table
from bfkit.profiles import PROFILES
from bfkit.study import Observers, build, read_study, simulate

FIRST, DRAWS = int(os.environ.get("HOSTILE_SEED", random.randrange(10**6))), int(os.environ.get("HOSTILE_DRAWS", 4))
PROMPTS = ("a red circle on a white wall", "a crowd of many shapes", "a blue square", "two green stars in a park")
COMMANDS = {  # every command that writes and takes less than minutes; the words IN and OUT are folders
    "dataset": "dataset --captions IN/captions.txt --prompts 3 --steps 1 2 --out OUT",
    "dataset, processes, pictures, table": "dataset --captions IN/captions.txt --prompts 3 --steps 1 2 --workers 2 "
    "--keep-images --out OUT --table OUT/table.parquet",
    "train": "train --scores IN/scores.parquet --epochs 2 --out OUT",
    "draw": "draw --file IN/captions.txt --steps 3 --batch 2 --out OUT",
    "quickstart": "quickstart --captions IN/captions.txt --prompts 4 --out OUT",
    "compare": "compare --scores IN/scores.parquet --prompts 1 --seeds 2 --systems UniPC --out OUT",
    "networks": "networks --scores IN/scores.parquet --out OUT/networks.csv",
    "learning-curve": "learning-curve --scores IN/scores.parquet --out OUT/curve.csv",
    "recipes": "recipes --scores IN/scores.parquet --out OUT/recipes.csv",
    "study build": "study build IN/pictures.csv --out OUT --trials 2 --repeats 0 --checks 0 --practice 0 --orders 2",
    "study analyse": "study analyse IN/answers.parquet --out OUT",
    "reproduce": "reproduce --only 06 --out OUT",
}
# what a run writes with the seconds it took, or with a hash of such
WITH_SECONDS = ("manifest.json", "answers.parquet", "quickstart.json", "advisor/config.json")
FAULTS = ("SIGINT", "SIGTERM", "SIGKILL", "full", "denied", "short", "clock", "locale")


@pytest.fixture(scope="session")
def inputs(tmp_path_factory) -> Path:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "captions.txt").write_text("\n".join(PROMPTS), encoding="utf-8")
    write_table(read_scores(PROFILES["mini"].scores).filter(pl.col("prompt_id") < 12), folder / "scores.parquet", {})
    from study_helpers import pictures

    from bfkit.study.pictures import matched

    rows = []
    for (prompt, seed), conditions in matched(pictures(4), "similar").items():
        for condition, (steps, png) in conditions.items():
            name = f"{len(rows)}.png"
            (folder / name).write_bytes(png)
            rows.append({"prompt": prompt, "seed": seed, "condition": condition, "steps": steps, "image": name})
    pl.DataFrame(rows).write_csv(folder / "pictures.csv")
    build(pictures(6), folder / "study", trials=4, checks=1, practice=1, orders=2)
    simulate(read_study(folder / "study"), Observers(0.5, participants=4), seed=1).write_parquet(
        folder / "answers.parquet"
    )
    return folder


def start(name: str, inputs: Path, out: Path, fault: str = "none", number: float = 0) -> subprocess.Popen:
    words = [word.replace("IN/", f"{inputs}/").replace("OUT", str(out)) for word in COMMANDS[name].split()]
    environment = dict(os.environ)
    if fault == "locale":
        environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("faulty.py")), fault, str(number), str(out), *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
        start_new_session=True,
    )  # fmt: skip


def work(process: int) -> float:
    """Seconds of processor time that a process has had, and those it waited for."""
    try:
        return sum(map(int, Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[11:13])) / 100
    except OSError:
        return float("inf")


UNDISTURBED: dict[str, tuple[Path, float, int]] = {}


@pytest.fixture
def undisturbed(inputs, tmp_path_factory):
    """The folder of an undisturbed run of a command, the processor seconds it took, and the files it wrote."""

    def run(name: str) -> tuple[Path, float, int]:
        if name not in UNDISTURBED:
            out = tmp_path_factory.mktemp("undisturbed") / "out"
            process, took = start(name, inputs, out), 0.0
            while process.poll() is None:
                took = max(took, min(work(process.pid), 1e6))
                time.sleep(0.05)
            printed, errors = process.communicate()
            assert process.returncode == 0, errors
            UNDISTURBED[name] = out, took, int(re.findall(r"(\d+) files written", printed)[-1])
        return UNDISTURBED[name]

    return run


def compare(name: str, out: Path, expected: Path) -> None:
    """What a run left is what the undisturbed one did, but for the time it took."""
    found, wanted = contents(out), contents(expected)
    assert sorted(found) == sorted(wanted), "files too many or too few"
    if name.startswith("dataset"):
        assert read_scores(out).drop("seconds").equals(read_scores(expected).drop("seconds"))
    if name == "compare":
        for path in [path for path in wanted if path.endswith(".parquet")]:
            one, other = (pl.read_parquet(folder / path).drop("seconds", strict=False) for folder in (out, expected))
            assert one.equals(other), path
    for path, content in wanted.items():
        if path.endswith((".parquet", ".html")) or path in WITH_SECONDS:
            continue
        assert found[path] == content, path


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, FIRST + DRAWS))
def test_a_run_that_is_disturbed_ends_with_a_sentence_and_the_next_one_mends_all(seed, inputs, undisturbed, tmp_path):
    rng, out = random.Random(seed), tmp_path / "out"
    name, fault = rng.choice(sorted(COMMANDS)), rng.choice(FAULTS)
    expected, took, files = undisturbed(name)
    number = {"full": rng.randint(1, files), "denied": rng.randint(1, files), "clock": rng.choice((-400, -2, 2, 400)),
              "short": round(2 ** rng.uniform(0, 20))}.get(fault, 0)  # fmt: skip
    moment = rng.uniform(0, took)
    said = f"seed {seed}: {name}, {fault} {number} after {moment:.1f} of {took:.1f} s"
    print(said)
    kind = "none" if fault.startswith("SIG") else fault
    process = start(name, inputs, out, kind, number)
    if fault.startswith("SIG"):
        while process.poll() is None and work(process.pid) < moment:
            time.sleep(0.02)
        os.killpg(process.pid, getattr(signal, fault)) if process.poll() is None else None
    _, errors = process.communicate(timeout=600)
    code = process.returncode
    expected_codes = {"SIGINT": (0, 130), "SIGTERM": (0, 130), "SIGKILL": (0, -9), "clock": (0,), "locale": (0,)}
    assert code in expected_codes.get(fault, (0, 1, 2)), f"{said}: exit code {code}: {errors}"
    assert "Traceback" not in errors and "panicked" not in errors, f"{said}: {errors}"
    if code == 130:
        assert errors.endswith(f"{STOPPED}\n"), f"{said}: {errors}"
    if code in (1, 2) and name != "reproduce":
        last = errors.strip().splitlines()[-1]
        assert last.startswith("bfkit: ") and "[Errno" not in last, f"{said}: {errors}"
    if code == 0:
        compare(name, out, expected)
    again = start(name, inputs, out)
    _, errors = again.communicate(timeout=600)
    assert again.returncode == 0, f"{said}, and then: {errors}"
    compare(name, out, expected)
    shutil.rmtree(out)
