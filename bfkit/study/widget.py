"""A study inside a notebook: the same page in a frame, its answers in Python."""

import base64
import json
from pathlib import Path

import anywidget
import polars as pl
import traitlets

from .design import sides
from .folder import ASSETS, DATA, read_study
from .records import PARTICIPANT, SCHEMA, unique

MOST = 64 * 2**20  # bytes of pictures a notebook should carry
ESM = """
export default {
  render({ model, el }) {
    const frame = document.createElement("iframe");
    frame.title = "A study: comparing pictures";
    frame.style.cssText = "width: 100%; border: 1px solid #b9bec7; border-radius: 8px";
    frame.style.height = `${model.get("height")}px`;
    const take = (event) => {
      if (event.source !== frame.contentWindow || event.data?.bfkit !== "answers") return;
      model.set("answers", [...model.get("answers"), ...event.data.rows]);
      model.save_changes();
    };
    addEventListener("message", take);
    frame.srcdoc = model.get("html");
    el.append(frame);
    return () => removeEventListener("message", take);
  },
};
"""
# parent is the notebook's page, whose address a frame cannot know; the answers are the reader's own.
HAND_OVER = "STUDY.widget.post = async (rows) => parent.postMessage({ bfkit: 'answers', rows }, '*');"


class StudyWidget(anywidget.AnyWidget):
    """One order of a study, to be answered below the cell; ``rows`` has the answers so far.

    ``folder`` is one that ``build`` wrote. Raises ValueError for a participant or an order that is none, and for
    pictures too large to be carried by a notebook.
    """

    _esm = ESM
    html = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(640).tag(sync=True)
    answers = traitlets.List().tag(sync=True)

    def __init__(self, folder: str | Path, participant: str = "me", order: int = 0, height: int = 640) -> None:
        super().__init__(html=single_page(Path(folder), participant, order), height=height)

    @property
    def rows(self) -> pl.DataFrame:
        """The answers in the columns of ``SCHEMA``."""
        return unique(pl.DataFrame(self.answers, schema=SCHEMA))


def single_page(folder: Path, participant: str, order: int) -> str:
    """The page of a study and the pictures of one order as one HTML text that needs no other file."""
    study = read_study(folder)
    if not PARTICIPANT.fullmatch(participant):
        raise ValueError(f"participant {participant!r}: take 1 to 64 letters, digits, - and _")
    if not 0 <= order < len(study.orders):
        raise ValueError(f"order {order}: the study has 0 to {len(study.orders) - 1}")
    wanted = set()
    for trial in study.orders[order]:
        pictures = study.stimuli[trial.stimulus].pictures
        conditions = {*sides(study.design.protocol, trial), "REFERENCE"}
        wanted |= {pictures[name].file for name in conditions}
    size = sum((folder / name).stat().st_size for name in wanted)
    if size > MOST:
        raise ValueError(f"{size / 2**20:.0f} MiB of pictures are too many for a notebook: take bfkit study serve")
    pictures = {
        name: "data:image/png;base64," + base64.b64encode((folder / name).read_bytes()).decode()
        for name in sorted(wanted)
    }
    widget = json.dumps({"participant": participant, "order": order, "pictures": pictures})
    page = (folder / "index.html").read_text(encoding="utf-8")
    page = page.replace(
        '<link rel="stylesheet" href="style.css">',
        f"<style>{(folder / 'style.css').read_text(encoding='utf-8')}</style>",
    )
    for name in (*ASSETS, DATA):
        code = (folder / name).read_text(encoding="utf-8").replace("</script", "<\\/script")
        if name == DATA:
            code += f"STUDY.widget = {widget};\n{HAND_OVER}\n"
        page = page.replace(f'<script src="{name}"></script>', f"<script>{code}</script>")
    return page
