"""Whatever ends or disturbs a run, the next one finishes with the rows of an undisturbed one. The real stack, small."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from dataset_helpers import assert_same_rows, contents, shard_files
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from open_clip.coca_model import CoCa
from transformers import CLIPTextModel

from bfkit import files
from bfkit.dataset import failures
from bfkit.dataset.build import build_dataset
from bfkit.dataset.executors import work
from bfkit.dataset.measure import picture_path
from bfkit.dataset.table import ORDER, read_metadata, read_scores
from bfkit.mini.world import captioned_scenes
from bfkit.models.perceptual import PerceptualEmbedder

IMAGES_A_SHARD = 4  # two prompts of the brief profile, by conftest.small_shards
PROMPTS = list(captioned_scenes(8, seed=3))  # four shards of two
BRIEF = {"seeds": (0,), "step_counts": (1, 2), "batch": 2}
RUN = """
import sys
from pathlib import Path
from bfkit.dataset import shards
from bfkit.dataset.build import build_dataset
from bfkit.profiles import *
shards.IMAGES_A_SHARD = 4
try:
    build_dataset({profile!r}, {prompts!r}, Path({folder!r}), **{options!r})
except KeyboardInterrupt:
    sys.exit(130)
except OSError as error:
    sys.exit(f"OSError: {{error}}")
"""


@pytest.fixture(scope="module")
def brief(random_profile):
    """A profile of few pictures, for data sets made again and again."""
    return replace(random_profile, **BRIEF)


@pytest.fixture(scope="module")
def finished(brief, tmp_path_factory) -> Path:
    """A data set made in one go, with its pictures; tests copy it before they change anything."""
    folder = tmp_path_factory.mktemp("undisturbed")
    build_dataset(brief, PROMPTS, folder, keep_images=True)
    return folder


@pytest.fixture
def start(brief, tmp_path):
    """Starts a run in a process of its own; whatever is left of it when the test ends is killed."""
    started = []

    def start_run(folder: Path, prompts=PROMPTS, before=None, **options) -> subprocess.Popen:
        code = RUN.format(profile=brief, prompts=prompts, folder=str(folder), options=options)
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # rows equal to the last bit
        run = subprocess.Popen([sys.executable, "-c", code], env=environment, preexec_fn=before, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
        started.append(run)
        return run

    yield start_run
    for run in started:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def wait_for(what, run: subprocess.Popen) -> None:
    """Wait until ``what()`` holds, as it must before the run ends."""
    while not what():
        assert run.poll() is None, f"it ended too early: {run.stderr.read()}"
        time.sleep(0.01)


def children(run: subprocess.Popen) -> list[int]:
    """Process ids of a run's workers."""
    listed = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(run.pid)], capture_output=True, text=True)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


def is_running(process: int) -> bool:
    """True unless it has ended, waited for or not."""
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def fail_at_call(monkeypatch, number: int) -> None:
    """Let the n-th picture batch from now on end the process's work, as a kill would."""
    decode, calls = AutoencoderKL.decode, iter(range(number))

    def failing(self, *args, **kwargs):
        if next(calls, None) is None:
            raise InterruptedError
        return decode(self, *args, **kwargs)

    monkeypatch.setattr(AutoencoderKL, "decode", failing)


# --- kills ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [0, 1, 2, 5, 7])
def test_a_run_that_stops_anywhere_goes_on_and_draws_only_what_is_missing(
    tmp_path, brief, finished, monkeypatch, batches
):
    """Each of the four shards takes two batches."""
    with monkeypatch.context() as patch:
        fail_at_call(patch, batches)
        with pytest.raises(InterruptedError):
            build_dataset(brief, PROMPTS, tmp_path)
    before = contents(tmp_path)
    assert len(before) == len(shard_files(tmp_path)) == batches // 2
    fail_at_call(monkeypatch, 8 - 2 * (batches // 2))
    build_dataset(brief, PROMPTS, tmp_path)
    assert_same_rows(read_scores(tmp_path), read_scores(finished))
    assert before.items() <= contents(tmp_path).items()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_loses_no_finished_shard_and_leaves_no_worker(tmp_path, brief, start, finished, workers):
    run = start(tmp_path, workers=workers)
    wait_for(lambda: shard_files(tmp_path), run)
    workers_left = children(run)
    assert len(workers_left) == (workers if workers > 1 else 0)
    run.kill()
    run.wait()
    end = time.monotonic() + 2  # wherever they are in their shards
    while any(is_running(worker) for worker in workers_left):
        assert time.monotonic() < end, "a worker outlives its parent"
        time.sleep(0.02)
    before = {path.name: path.read_bytes() for path in shard_files(tmp_path)}
    build_dataset(brief, PROMPTS, tmp_path)
    assert_same_rows(read_scores(tmp_path), read_scores(finished))
    assert before.items() <= contents(tmp_path).items()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_ctrl_c_and_sigterm_end_a_run_at_once_and_without_a_word(tmp_path, brief, start, finished, workers, number):
    run = start(tmp_path, workers=workers)
    wait_for(lambda: shard_files(tmp_path), run)
    os.killpg(run.pid, number)  # a terminal and Slurm signal the workers too
    _, errors = run.communicate()
    assert run.returncode == 130
    assert "Traceback" not in errors and "leaked" not in errors
    assert len(shard_files(tmp_path)) < 4 and not list(tmp_path.glob(".*"))
    build_dataset(brief, PROMPTS, tmp_path)
    assert_same_rows(read_scores(tmp_path), read_scores(finished))


@pytest.mark.slow
def test_the_shard_of_a_killed_worker_is_made_by_another(tmp_path, start, finished):
    run = start(tmp_path, workers=2)
    wait_for(lambda: shard_files(tmp_path), run)
    os.kill(children(run)[0], signal.SIGKILL)
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    assert_same_rows(read_scores(tmp_path), read_scores(finished))


@pytest.mark.slow
def test_workers_that_die_again_and_again_end_the_run_with_a_sentence(tmp_path, start):
    run, stopped = start(tmp_path, workers=2), threading.Event()

    def kill_all() -> None:
        while not stopped.wait(0.05):
            for worker in children(run):
                os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill_all)
    killer.start()
    _, errors = run.communicate()
    stopped.set()
    killer.join()
    assert run.returncode == 1
    assert "OSError: 6 workers died one after the other (the process was killed)" in errors.splitlines()[-1]


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["lost", "cut short", "empty", "a flipped bit", "zeros"])
def test_a_lost_or_damaged_shard_is_made_again_and_no_other(tmp_path, brief, finished, monkeypatch, damage):
    folder = shutil.copytree(finished, tmp_path / "dataset")
    path = shard_files(folder)[1]
    whole = path.read_bytes()
    before = contents(folder)
    path.write_bytes({
        "lost": b"", "cut short": whole[:-100], "empty": b"", "zeros": bytes(len(whole)),
        "a flipped bit": whole[:700] + bytes([whole[700] ^ 4]) + whole[701:],
    }[damage])  # fmt: skip
    if damage == "lost":
        path.unlink()
    fail_at_call(monkeypatch, 2)
    build_dataset(brief, PROMPTS, folder)
    assert_same_rows(read_scores(folder), read_scores(finished))
    after = contents(folder)
    assert {name for name in before if after[name] != before[name]} <= {path.name}


def test_a_lost_picture_is_drawn_again(tmp_path, brief, finished, monkeypatch):
    folder = shutil.copytree(finished, tmp_path / "dataset")
    before = contents(folder)
    picture_path(folder / "pictures", 3, 0, 2).unlink()
    fail_at_call(monkeypatch, 2)
    build_dataset(brief, PROMPTS, folder, keep_images=True)
    after = contents(folder)
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if name.endswith(".webp"))


# --- a full disk ----------------------------------------------------------------------------------------------------


def test_a_file_that_the_disk_does_not_take_leaves_nothing_of_itself(tmp_path):
    path = tmp_path / "x.parquet"
    files.write_file(path, b"old")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(OSError, match=r"x\.parquet cannot be written \(File too large\): see to the disk"):
            files.write_file(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert contents(tmp_path) == {"x.parquet": b"old"}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"keep_images": True}], ids=str)
def test_a_disk_that_takes_no_more_ends_a_run_with_a_sentence_and_the_next_one_goes_on(
    tmp_path, brief, start, finished, options
):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # bytes a file

    run = start(tmp_path, before=limit, **options)
    _, errors = run.communicate()
    assert run.returncode == 1
    assert errors.splitlines()[-1].startswith("OSError: ") and "see to the disk and run again" in errors
    assert not shard_files(tmp_path) and not list(tmp_path.glob(".*"))
    build_dataset(brief, PROMPTS, tmp_path, **{**options, "workers": 1})
    assert_same_rows(read_scores(tmp_path), read_scores(finished))


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_finished(tmp_path, brief, finished):
    """A real one, of 16 KB, where this user may mount it."""
    mount = ["unshare", "-Urm", "bash", "-c"]
    if subprocess.run([*mount, f"mount -t tmpfs none {tmp_path}"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    code = tmp_path / "run.py"
    code.write_text(RUN.format(profile=brief, prompts=PROMPTS, folder=str(disk), options={}))
    steps = f"mount -t tmpfs -o size=16k none {disk} && {sys.executable} {code}; e=$?; cp -a {disk} {kept}; exit $e"
    ended = subprocess.run([*mount, steps], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "cannot be written (No space left on device): see to the disk" in ended.stderr.splitlines()[-1]
    before = contents(kept)
    assert 1 <= len(before) == len(shard_files(kept)) < 4
    build_dataset(brief, PROMPTS, kept)
    assert before.items() <= contents(kept).items()
    assert_same_rows(read_scores(kept), read_scores(finished), tolerance=2e-4)


# --- too little memory ----------------------------------------------------------------------------------------------

SHORT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
CUDA = torch.AcceleratorError("CUDA error: out of memory")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
CUDNN = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


def run_short(monkeypatch, owner: type, name: str, error: RuntimeError) -> list[int]:
    """Let a method fail wherever it is first called in a data set from now on, and forget what was loaded before."""
    method, raised = getattr(owner, name), []

    def limited(self, *args, **kwargs):
        if not raised:
            raised.append(1)
            raise error
        return method(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, limited)
    monkeypatch.setattr(work, "_LOADED", {})
    return raised


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [(CLIPTextModel, "forward", CUBLAS), (UNet2DConditionModel, "forward", SHORT), (AutoencoderKL, "decode", CUDNN),
     (PerceptualEmbedder, "embed", CUDA), (CoCa, "_encode_image", SHORT)],
    ids=["embedding", "denoising", "decoding", "scoring", "captioning"],
)  # fmt: skip
def test_a_lack_of_memory_at_work_changes_no_row(tmp_path, brief, finished, monkeypatch, owner, name, error):
    """But for the last digit, which depends on how many are computed at once."""
    raised = run_short(monkeypatch, owner, name, error)
    build_dataset(brief, PROMPTS, tmp_path)
    assert raised
    assert_same_rows(read_scores(tmp_path), read_scores(finished), tolerance=1e-5)


@pytest.mark.slow
def test_a_lack_of_memory_while_loading_changes_no_row(tmp_path, brief, finished, monkeypatch):
    raised = [run_short(monkeypatch, PerceptualEmbedder, "to", CUBLAS),
              run_short(monkeypatch, DiffusionPipeline, "to", SHORT)]  # fmt: skip
    with pytest.warns(UserWarning, match="its text models and its denoiser take turns there"):
        build_dataset(brief, PROMPTS, tmp_path)
    assert all(raised)
    assert_same_rows(read_scores(tmp_path), read_scores(finished))


@pytest.mark.slow
def test_rows_of_what_fits_are_those_of_a_run_at_that_size(tmp_path, brief, monkeypatch):
    """Bit for bit: nothing of the attempts that failed is left."""
    forward = UNet2DConditionModel.forward

    def limited(self, sample, *args, **kwargs):
        if len(sample) > 2:  # one picture with guidance
            raise SHORT
        return forward(self, sample, *args, **kwargs)

    build_dataset(replace(brief, batch=1), PROMPTS[:4], tmp_path / "one by one")
    monkeypatch.setattr(UNet2DConditionModel, "forward", limited)
    monkeypatch.setattr(work, "_LOADED", {})
    build_dataset(brief, PROMPTS[:4], tmp_path / "as many as fit", keep_images=True)
    assert_same_rows(read_scores(tmp_path / "as many as fit"), read_scores(tmp_path / "one by one"))


# --- a broken picture -----------------------------------------------------------------------------------------------


def spoil_decoding(monkeypatch, broken) -> None:
    """Put NaN into the second picture of each decoding for which ``broken(number, latents)``."""
    decode, calls = AutoencoderKL.decode, iter(range(1000))

    def spoiled(self, latents, *args, **kwargs):
        decoded = decode(self, latents, *args, **kwargs)
        if broken(next(calls), latents):
            decoded[0][-1, 0, 3, 3] = torch.nan
        return decoded

    monkeypatch.setattr(AutoencoderKL, "decode", spoiled)


def test_a_picture_that_is_broken_once_is_decoded_again(tmp_path, brief, finished, monkeypatch):
    spoil_decoding(monkeypatch, lambda number, _: number == 3)
    build_dataset(brief, PROMPTS, tmp_path)
    assert_same_rows(read_scores(tmp_path), read_scores(finished), tolerance=1e-5)
    assert not (tmp_path / "failures.csv").exists()


def test_pictures_that_stay_broken_are_listed_and_left_out_and_the_data_set_is_finished(
    tmp_path, brief, finished, monkeypatch
):
    first = []

    def broken(_: int, latents: torch.Tensor) -> bool:
        """One picture for ever: the last one of the first decoding that a resumed run would not do again."""
        first.append(latents[-1].clone()) if not first else None
        return torch.allclose(latents[-1], first[0], atol=1e-3)

    with monkeypatch.context() as patch:
        spoil_decoding(patch, broken)
        build_dataset(brief, PROMPTS, tmp_path, keep_images=True)
    listed = pl.read_csv(tmp_path / "failures.csv")
    assert listed.columns == ["prompt_id", "prompt", "seed", "steps", "reason"]
    lost = list(listed.select("prompt_id", "seed", "steps").iter_rows())
    assert len(lost) == 2, "the target and what would be compared with it"
    assert {PROMPTS[key] for key, *_ in lost} == set(listed["prompt"]) and len(set(listed["prompt"])) == 1
    rows = read_scores(tmp_path)
    expected = read_scores(finished).join(listed.cast(failures.SCHEMA), on=ORDER, how="anti", maintain_order="left")
    assert_same_rows(rows, expected)
    assert len(list((tmp_path / "pictures").rglob("*.webp"))) == len(rows) == 14
    before = contents(tmp_path)
    fail_at_call(monkeypatch, 0)
    build_dataset(brief, PROMPTS, tmp_path, keep_images=True)
    assert contents(tmp_path) == before, "a shard that lacks a broken picture is finished"
    files_left = shard_files(tmp_path)
    damaged = next(path for path in files_left if read_metadata(path)["failures"])
    damaged.unlink()
    monkeypatch.undo()
    build_dataset(brief, PROMPTS, tmp_path)
    assert not (tmp_path / "failures.csv").exists(), "whole again, once its shard was made again"
    assert_same_rows(read_scores(tmp_path), read_scores(finished))


# --- two runs at once -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_runs_in_one_folder_both_finish_with_the_same_rows(tmp_path, start, finished):
    runs = [start(tmp_path), start(tmp_path)]
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors
    assert_same_rows(read_scores(tmp_path), read_scores(finished))
    assert len(contents(tmp_path)) == 4


def test_a_shard_that_another_run_has_finished_meanwhile_is_not_drawn(tmp_path, brief, finished, monkeypatch):
    """The other run finishes everything while this one is at its first shard."""
    decode, calls = AutoencoderKL.decode, []

    def with_company(self, *args, **kwargs):
        if not calls:
            for path in shard_files(finished):
                shutil.copy(path, tmp_path)
        calls.append(1)
        return decode(self, *args, **kwargs)

    monkeypatch.setattr(AutoencoderKL, "decode", with_company)
    build_dataset(brief, PROMPTS, tmp_path)
    assert len(calls) == 2
    assert_same_rows(read_scores(tmp_path), read_scores(finished))


def test_temporary_files_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path, brief, finished):
    folder = shutil.copytree(finished, tmp_path / "dataset")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = files._machine()

    def leave(owner: str, days_ago: float = 0) -> Path:
        path = folder / f".shard-000000-0123456789ab.parquet.{owner}-0a0a0a0a.tmp"
        path.write_bytes(b"half")
        os.utime(path, (then := time.time() - days_ago * files.DAY, then))
        return path

    living, elsewhere = leave(f"{here}-{os.getpid()}"), leave("another0-1")
    dead, old, foreign = leave(f"{here}-{gone.pid}"), leave("another0-2", days_ago=1.1), folder / ".mine.tmp"
    foreign.write_text("not ours")
    os.utime(foreign, (0, 0))
    build_dataset(brief, PROMPTS, folder)
    assert living.exists() and elsewhere.exists() and foreign.exists()
    assert not dead.exists() and not old.exists()
    assert_same_rows(read_scores(folder), read_scores(finished))


@pytest.mark.slow
def test_what_a_killed_writer_left_behind_is_gone_after_the_next_run(tmp_path, brief, start, finished):
    """Killed between the last byte and the move."""
    code = "import os, signal; os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    run = subprocess.run(
        [sys.executable, "-c", code + RUN.format(profile=brief, prompts=PROMPTS, folder=str(tmp_path), options={})],
        capture_output=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    (left,) = contents(tmp_path)
    assert left.startswith(".shard-") and left.endswith(".tmp")
    build_dataset(brief, PROMPTS, tmp_path)
    assert len(contents(tmp_path)) == len(shard_files(tmp_path)) == 4
    assert_same_rows(read_scores(tmp_path), read_scores(finished), tolerance=2e-4)
