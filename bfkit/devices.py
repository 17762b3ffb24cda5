"""Where things are computed: choosing a device, naming it, waiting for it."""

import importlib.metadata
import platform
from pathlib import Path

import torch

_used: dict[str, None] = {}  # names of what this process has put models on, in that order


def choose_device(asked: torch.device | str | None = None) -> torch.device:
    """The device asked for, or for None the best there is: CUDA, else the CPU.

    Raises ValueError for one that this machine has not.
    """
    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ValueError(f"unknown device {asked!r}: choose cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(f"no device {device}: torch finds {found} CUDA devices; choose cpu, or install torch for CUDA")
    return device


def use_device(asked: torch.device | str | None = None) -> torch.device:
    """``choose_device`` by those who put models on it: ``used_hardware`` then names it."""
    device = choose_device(asked)
    _used[device_name(device)] = None
    return device


def used_hardware() -> list[str]:
    """Names of the devices that models have computed on in this process: what was used, not what there is."""
    return list(_used)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def hardware(device: torch.device | str) -> dict[str, str]:
    """What pictures were drawn on and with: the device's name, and the versions of what runs on it."""
    name = device_name(torch.device(device))
    return {"device": name, "torch": torch.__version__, "diffusers": importlib.metadata.version("diffusers")}


def device_name(device: torch.device) -> str:
    """The name of a GPU or a CPU, as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _cpu_name() if device.type == "cpu" else str(device)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor() or platform.machine()
