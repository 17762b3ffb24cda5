"""What a screen reader asks of the book: equations as MathML, a bibliography that is a list.

MathML is made when the book is built, so that equations need no script and no font.
"""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

TAG = re.compile(r"\\tag\{(.*?)\}")
SIZES = re.compile(r"\\[bB]igg?(?![a-zA-Z])")  # of brackets, which the converter does not know


def to_mathml(tex: str, block: bool) -> str:
    """LaTeX as a <math> element; a ``\\tag`` becomes the equation's number. ExtensionError names what it cannot."""
    tags = TAG.findall(tex)
    try:
        made = tex2mathml(SIZES.sub("", TAG.sub("", tex)).strip(), as_block=block)
    except MathError as error:
        raise ExtensionError(f"no MathML for {tex!r}: {error}") from None
    made = re.sub(r"\s*\n\s*", "", made)
    if not block:
        return made
    number = f'<span class="eqno">({", ".join(tags)})</span>' if tags else ""
    return f'<div class="math" tabindex="0" role="group" aria-label="Equation">{made}{number}</div>\n'


def inline(self: Any, node: nodes.math) -> None:
    self.body.append(to_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    self.body.append(to_mathml(node.astext(), block=True))
    raise nodes.SkipNode


def citation(self: Any, node: nodes.citation) -> None:
    """As docutils writes it, but an entry of the list that it opens, by a role that a list may hold."""
    start = len(self.body)
    type(self).visit_citation(self, node)
    self.body[start:] = [part.replace('role="doc-biblioentry"', 'role="listitem"') for part in self.body[start:]]


def citation_end(self: Any, node: nodes.citation) -> None:
    type(self).depart_citation(self, node)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.add_node(nodes.citation, override=True, html=(citation, citation_end))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
