"""What `pip install bfkit` holds is enough for an advisor and a pipeline; what needs more says which extra."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
EXTRAS = {name: wanted for name, wanted in PROJECT["optional-dependencies"].items() if name != "dev"}
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Path(PathFinder):  # finds nothing of what is taken for not installed
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {blocked} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Path
"""


def modules_of(requirements: list[str]) -> set[str]:
    """The modules that some requirements install and the package's own dependencies do not."""

    def names(group: list[str]) -> set[str]:
        return {re.split(r"[~=<>\[]", wanted)[0].lower().replace("_", "-") for wanted in group}

    only = names(requirements) - names(PROJECT["dependencies"])
    return {
        module
        for module, packages in importlib.metadata.packages_distributions().items()
        if {package.lower().replace("_", "-") for package in packages} <= only
    }


def run_without_extras(code: str) -> str:
    absent = {module for wanted in EXTRAS.values() for module in modules_of(wanted)}
    assert {"altair", "papermill", "dreamsim", "statsmodels", "DeepCache", "ray", "pandas"} <= absent
    code = WITHOUT.format(blocked=sorted(absent)) + code
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


@pytest.mark.slow
def test_the_core_alone_advises_and_draws() -> None:
    said = run_without_extras("""
import bfkit
from bfkit.cli import main

assert main(["steps", "a red circle on a white wall"]) == 0
profile = bfkit.get_profile("mini")
pipe, scorer = bfkit.load_pipeline(profile), bfkit.load_scorer(profile)
pictures = bfkit.StepAdvisor.from_pretrained(profile.advisor).generate(pipe, ["a red circle"])
print(len(pictures), "drawn")
""")
    assert "a red circle on a white wall" in said
    assert "1 drawn" in said


@pytest.mark.slow
def test_a_missing_extra_is_told_with_the_command() -> None:
    said = run_without_extras("""
import bfkit
from dataclasses import replace
from bfkit.cli import main

profile = bfkit.get_profile("mini")

def charts():
    import bfkit.charts
def scores():
    bfkit.load_scorer(replace(profile, perceptual="dreamsim:ensemble"))
def baselines():
    from bfkit.sampling.accelerators import tome
    tome(bfkit.load_pipeline(profile)).__enter__()
def ray():
    from bfkit.dataset.executors.ray import on_ray
    next(on_ray([], None, None, None))
def bench():
    from bfkit.benchmarks.queries import queries
    next(queries(100))

for use in (charts, lambda: bfkit.explore, scores, baselines, ray, bench):
    try:
        use()
    except ImportError as error:
        print(error)
for command in ("reproduce --only 00", "study analyse answers.csv --out report", "compare --out folder"):
    print("exit code", main(command.split()))
""")
    wanted = {
        "altair": "notebooks",
        "jinja2|anywidget": "notebooks",
        "papermill|jinja2|altair": "notebooks",
        "dreamsim|peft": "scores",
        "tomesd": "baselines",
        "torchmetrics": "baselines",
        "statsmodels|altair|anywidget": "study",
        "ray": "ray",
        "pandas": "bench",
    }
    for packages, extra in wanted.items():
        sentence = rf"this needs ({packages}), which is not installed: run `pip install 'bfkit\[{extra}\]'`\n"
        assert re.search(sentence, said), (packages, said)
    assert said.count("exit code 2") == said.count("bfkit: this needs") == 3
