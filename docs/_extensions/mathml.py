"""Formulas as MathML, which browsers show by themselves: the site needs no network, and no script, to be read."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

# Between a function's name and its argument, unless that stands in brackets.
_SPACED = re.compile(r'<mo>&ApplyFunction;</mo>(\s*)(?!<mo stretchy="false">[(\[])')


def formula(node: nodes.Element, *, block: bool) -> str:
    """The formula of a node; one that cannot be read is a warning, and so stops the build."""
    try:
        found = str(tex2mathml(node.astext(), as_block=block))
        return _SPACED.sub(r'<mspace width="0.17em"/>\1', found)
    except MathError as error:
        logger.warning("cannot typeset %r: %s", node.astext(), error, location=node)
        return ""


def inline(writer: Any, node: nodes.Element) -> None:
    """A formula within a line."""
    writer.body.append(formula(node, block=False))
    raise nodes.SkipNode


def displayed(writer: Any, node: nodes.Element) -> None:
    """A formula of its own, which scrolls where the page is too narrow for it."""
    writer.body.append(f'<div class="formula" tabindex="0">{formula(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
