"""A report's manifest: which runs stand in a folder, what each one wrote, and from what."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bfkit.dataset.failures import count_noted
from bfkit.dataset.table import noted_hardware, read_scores, split_by_prompt
from bfkit.files import write_file
from bfkit.predictor.model import load_predictors
from bfkit.profiles import Profile
from bfkit.provenance import digest

MEASURED = {"prompts": "prompt_id", "seeds": "seed", "step_counts": "steps"}
KINDS = {"artifacts": ("figure", "table", "page"), "numbers": ("number",), "findings": ("finding",)}


def read_manifest(out: Path, profile: Profile, there: Sequence[str]) -> dict:
    """What stands in ``out``, without runs that are no longer ``there``; ValueError if it is another profile's."""
    path = out / "manifest.json"
    empty = {"profile": profile.name, "runs": {}, **{kind: [] for kind in KINDS}}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else empty
        other = manifest["profile"] != profile.name
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is no manifest of a report: name another folder with --out, or delete it") from None
    if other:
        raise ValueError(f"{out} holds a report of {manifest['profile']}: name another folder with --out")
    manifest.pop("hardware", None)  # of one of before, which named what there was
    manifest["runs"] = {name: run for name, run in manifest.get("runs", {}).items() if name in there}
    for kind in KINDS:
        manifest[kind] = [entry for entry in manifest.get(kind, []) if entry["notebook"] in manifest["runs"]]
    return manifest


def measured_on(profile: Profile) -> dict[str, list[str]]:
    """The hardware that a profile's tables and its advisor say they come from; none where they do not say."""
    found = {name: noted_hardware(getattr(profile, name)) for name in ("scores", "systems") if getattr(profile, name)}
    found["advisor"] = [note for note in [load_predictors(Path(profile.advisor))[1].get("hardware")] if note]
    return {name: list(dict.fromkeys(note["device"] for note in notes)) for name, notes in found.items()}


def measured_pictures(profile: Profile) -> dict[str, int]:
    """How many pictures, prompts, seeds and step counts the scores hold, and prompts that nothing learns from."""
    scores = read_scores(profile.scores)
    counts = {name: scores[column].n_unique() for name, column in MEASURED.items()}
    return {**counts, "pictures": len(scores), "held_out": split_by_prompt(scores)[1]["prompt_id"].n_unique()}


def left_out_of(profile: Profile) -> dict[str, int]:
    """How many broken pictures a profile's tables lack, of those that lack any."""
    found = {name: count_noted(getattr(profile, name)) for name in ("scores", "systems") if getattr(profile, name)}
    return {name: count for name, count in found.items() if count}


def is_current(out: Path, manifest: Mapping, name: str, key: str) -> bool:
    """True if a run of this key is noted and every file of it is there as it was written."""
    run = manifest["runs"].get(name, {})
    if run.get("key") != key or run.get("failure") or not all((out / file).is_file() for file in run["pages"]):
        return False
    written = [entry["files"] for entry in manifest["artifacts"] if entry["notebook"] == name]
    return all((out / file).is_file() and digest(out / file) == own for files in written for file, own in files.items())


def note_run(out: Path, manifest: dict, name: str, noted: dict) -> None:
    """Put a run, what it reported and the hardware it did so on into the manifest, and write the file.

    What the last one wrote and this one did not is deleted: a figure that no manifest knows is nobody's.
    """
    reported = out / "entries" / f"{name}.json"
    told = json.loads(reported.read_text(encoding="utf-8")) if reported.is_file() else {"entries": []}
    entries = told.pop("entries")
    noted = {**noted, **told}  # a run that failed before it reported anything does not tell its hardware
    kept = {file for entry in entries for file in entry.get("files", {})}
    for entry in manifest["artifacts"]:
        if entry["notebook"] == name:
            for file in entry["files"].keys() - kept:
                (out / file).unlink(missing_ok=True)
    manifest["runs"] = dict(sorted({**manifest["runs"], name: noted}.items()))
    for kind, singular in KINDS.items():
        fresh = [entry for entry in entries if entry["kind"] in singular]
        others = [entry for entry in manifest[kind] if entry["notebook"] != name]
        manifest[kind] = sorted(others + fresh, key=lambda entry: entry["notebook"])
    write_file(out / "manifest.json", f"{json.dumps(manifest, indent=1)}\n".encode())
