"""The explorer in JupyterLab: the page's own script, with a kernel that predicts typed prompts and draws pictures."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import polars as pl
import torch
import traitlets

from bfkit.devices import choose_device
from bfkit.models.pipelines import load_pipeline
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import Profile
from bfkit.sampling.generate import generate

from .data import data_uri, gather, predict, resolve
from .page import script, style


class Explorer(anywidget.AnyWidget):
    """What ``explore`` returns. The script asks, one picture or prompt at a time; each question gets one answer."""

    _esm = script("notebook.js")
    _css = style()
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, data: dict, advisor: StepAdvisor | None, draw: Callable[[str, int], str]) -> None:
        super().__init__(data=data)
        self._advisor, self._draw = advisor, draw
        self.on_msg(self._answer)

    def _answer(self, _: object, asked: dict[str, Any], buffers: object) -> None:
        try:
            if asked["kind"] == "picture":
                answer = {"picture": self._draw(asked["prompt"], asked["steps"])}
            else:
                predicted, remarks = predict(self._advisor, asked["prompt"])
                answer = {"predicted": predicted, "remarks": remarks}
        except (ValueError, OSError, RuntimeError) as error:  # no model, no memory: the reader sees the sentence
            answer = {"sorry": str(error)}
        self.send({"id": asked["id"], **answer})


def explore(
    profile: Profile | str = "mini",
    prompts: int = 50,
    *,
    scores: str | Path | pl.DataFrame | None = None,
    advisor: StepAdvisor | str | Path | None = None,
    pictures: bool = True,
    device: torch.device | str | None = None,
) -> Explorer:
    """The explorer as a widget: choose or type a prompt, move the weights of Eq. 7, watch t* and the picture move.

    ``scores`` and ``advisor`` default to the profile's. With ``pictures``, the profile's pipeline is loaded when the
    first one is shown, and draws them one after the other. Raises FileNotFoundError or ValueError where a table, an
    advisor asked for by name, or the device is not there.
    """
    device = choose_device(device)
    profile, frame, advisor, notes = resolve(profile, scores, advisor, device)
    pipeline = cache(lambda: load_pipeline(profile, device))

    def draw(prompt: str, steps: int) -> str:
        return data_uri(generate(pipeline(), [prompt], steps, profile=profile)[0])

    return Explorer(gather(frame, advisor, prompts, notes, pictures), advisor, draw)
