"""Seconds and joules of a piece of work, measured."""

import time
from collections.abc import Callable

import torch

from bfkit.devices import synchronize

SHORTEST_WINDOW = 0.5  # seconds


class EnergyMeter:
    """Seconds and joules between entering and leaving; joules are those of the GPU, by NVML, and None elsewhere.

    NVML renews its counter about every 100 ms: a window shorter than half a second is not measured either.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, 0.0
        self.joules: float | None = None
        self._counter = _nvml_counter(device)

    def __enter__(self) -> "EnergyMeter":
        synchronize(self.device)
        self._before, self._began = self._counter(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        synchronize(self.device)
        self.seconds, before, after = time.perf_counter() - self._began, self._before, self._counter()
        self.joules = None
        if before is not None and after is not None and self.seconds >= SHORTEST_WINDOW:
            self.joules = after - before


def _nvml_counter(device: torch.device) -> Callable[[], float | None]:
    """Reads the joules that the GPU has used since its driver was loaded."""
    if device.type != "cuda":
        return lambda: None
    try:
        import pynvml
    except ImportError:
        return lambda: None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return lambda: None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000


def measures_energy(device: torch.device) -> bool:
    """True if NVML counts the joules of a device."""
    return _nvml_counter(device)() is not None
