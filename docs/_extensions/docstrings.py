"""How docstrings and signatures are shown, where the defaults would mislead.

- The first words of a property's docstring are kept: what comes before a colon would else be read as its type.
- Types of arrays are named as the source names them, not by what NumPy makes of them.
- Pages of source code have no links back to the reference: they go astray where a module's names stand under two.
- Results have no constructor to call: what makes them is said in words, and a list of their fields is not a signature.
"""

import dataclasses
import re
from typing import Any

from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

# Classes that users do make.
MADE_BY_HAND = (
    "klimit.testsystems",
    "klimit.samples.container",
    "klimit.values",
    "klimit.models",
    "klimit.lab.recipe",
    "klimit.lab.rewards",
    "klimit.lab.tree",
)

# How types are written out, and how they are meant to be read.
_ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")
_ARRAY = re.compile(r"~?numpy\.ndarray\[~?tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[([^\[\]]*)\]\]")
_BACKLINK = re.compile(r'<a class="viewcode-back"[^>]*>[^<]*</a>')

_kept: dict[str, list[str]] = {}


def put_aside(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Before other extensions read the docstring of a property, take it away."""
    if what == "property":
        _kept[name] = list(lines)
        lines.clear()


def put_back(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """After they have, put it back."""
    if what == "property":
        lines[:] = _kept.pop(name)


def hide_fields(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """No signature for results."""
    made = (
        what == "class" and dataclasses.is_dataclass(value) and not value.__module__.startswith(MADE_BY_HAND)
    )
    return ("", returns) if made else None


def name_types(app: Sphinx, *description: Any) -> None:
    """Before types are put beside the parameters, shorten those of arrays."""
    for found in app.env.current_document.autodoc_annotations.values():
        for name, text in found.items():
            found[name] = _ARRAY.sub(r"~numpy.ndarray", text.replace(_ARRAY_LIKE, "ArrayLike"))


def drop_backlinks(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """From pages of source code, take the links back."""
    if pagename.startswith("_modules/"):
        context["body"] = _BACKLINK.sub("", context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Wrap the reading of Google-style docstrings, which has priority 500; watch signatures."""
    app.connect("autodoc-process-docstring", put_aside, priority=400)
    app.connect("autodoc-process-docstring", put_back, priority=600)
    app.connect("autodoc-process-signature", hide_fields)
    app.connect("html-page-context", drop_backlinks)
    app.connect("object-description-transform", name_types, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
