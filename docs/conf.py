"""Sphinx's settings for the course book; ``docs/book.py`` gathers its pages and builds it."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import bfkit

sys.path.insert(0, str(Path(__file__).parent))  # accessible.py

project = "bfkit"
author = "The bfkit authors"
project_copyright = "The bfkit authors, MIT licence"
release = bfkit.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinxcontrib.bibtex", "accessible"]
exclude_patterns = ["extra"]

# Pages: Markdown and notebooks that were executed before
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_ipywidgets_js = {}  # without a kernel a widget shows nothing: its picture stands there
nb_mime_priority_overrides = [("html", "text/html", 0), ("html", "application/vnd.jupyter.widget-view+json", None)]
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"

# The library's reference
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries = False

# HTML that asks nobody for anything
html_theme = "pydata_sphinx_theme"
html_title = "bfkit: the course"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_extra_path = ["extra"]  # the report's figures and its explorer
html_copy_source = False
html_show_sphinx = False
html_sidebars = {"*": []}  # pages that are no part of a list
html_theme_options = {
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "back_to_top_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app: Sphinx) -> None:
    """Write ``...`` for a field's factory, which autodoc shows as ``<factory>`` and then cannot read."""
    app.connect("autodoc-process-signature", _without_factories)


def _without_factories(*call: Any) -> tuple[str | None, str | None]:
    arguments, result = call[-2:]
    return (arguments and arguments.replace("<factory>", "...")), result
