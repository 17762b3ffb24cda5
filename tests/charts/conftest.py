"""What every figure must stand."""

import json
from collections.abc import Callable

import altair as alt
import pytest


@pytest.fixture
def check_figure(tmp_path) -> Callable[[alt.TopLevelMixin], None]:
    """Asserts that a figure survives a round trip through JSON and renders as an SVG with something in it."""

    def check(figure: alt.TopLevelMixin) -> None:
        again = alt.Chart.from_dict(json.loads(figure.to_json()))
        assert again.to_dict() == figure.to_dict()
        path = tmp_path / "figure.svg"
        figure.save(path)
        svg = path.read_text()
        assert svg.count("<path") + svg.count("<text") > 10, "the figure is empty"
        assert "NaN" not in svg

    return check
