"""Where things are computed: choosing a device, naming it, waiting for it."""

import importlib.metadata
import platform
from pathlib import Path

import torch


def best_device() -> torch.device:
    """CUDA where there is some, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_device(device: torch.device | str) -> torch.device:
    """The device, if this machine has it; ValueError otherwise."""
    try:
        device = torch.device(device)
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}: choose cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(f"no device {device}: torch finds {found} CUDA devices; choose cpu, or install torch for CUDA")
    return device


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def hardware(device: torch.device | str) -> dict[str, str]:
    """What pictures were drawn on and with: the device's name, and the versions of what runs on it."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {"device": name, "torch": torch.__version__, "diffusers": importlib.metadata.version("diffusers")}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor() or platform.machine()
