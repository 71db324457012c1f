"""The site: ``make docs`` builds it in build/docs, without network and without a warning."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import klimit

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "klimit"
author = "the klimit maintainers"
copyright = f"2026, {author}. Apache-2.0"
version = release = klimit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "cover_tables",
    "mathml",
    "docstrings",
    "public_names",
]
exclude_patterns = ["_extensions"]
nitpicky = True
# Other projects' names: looking them up would need network, and says little.
nitpick_ignore_regex = [
    # klimit's own parts, which results carry and users need not know.
    (
        r"py:class",
        r"klimit\.(audits\.(measured|pair)|policies\.(efficiency|levels)|samples\.(columns|table))\.\w+",
    ),
    (r"py:class", r"klimit\.limit\.(blocks|estimator|levels|preparation|roots)\.\w+"),
    (r"py:class", r"klimit\.(ensembles\.collocation\.NoCollocation|policies\.rank\.RankPolicy)"),
    (r"py:class", r"klimit\.proxies\.(falls\.Fall|gap\.Path)"),
    (r"py:func", r"level_loss"),
    (r"py:data", r"[A-Z_]+"),
    (r"py:.*", r"(collections|contextlib|matplotlib|numpy|pandas|pathlib|typing)\..*"),
    (r"py:.*", r"(Any|ArrayLike|Axes|NDArray|Path|pd\.DataFrame)"),
]

# Pages
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
highlight_language = "text"

# The reference
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Warns", "params_style")]
# The site builds without the extras; where they are missing, their classes are stood in for.
autodoc_mock_imports = [name for name in ("torch", "transformers") if find_spec(name) is None]
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
viewcode_line_numbers = True

public_modules = [
    "klimit",
    "klimit.selectors",
    "klimit.testsystems",
    "klimit.ensembles",
    "klimit.rewards",
    "klimit.lab",
    "klimit.training",
]

# What it looks like
html_theme = "furo"
html_title = "klimit"
html_static_path = ["_static"]
html_css_files = ["klimit.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"

# `make linkcheck`
linkcheck_timeout = 20
linkcheck_workers = 4


def list_further_pages(app, docname, content):
    """Put pages that the first page does not name in the place that it keeps for them."""
    if docname == "index":
        pages = sorted(page.stem for page in Path(app.srcdir).glob("*.md"))
        named = set(re.findall(r"[\w-]+", content[0])) | {"index"}
        content[0] = content[0].replace(
            "(further pages)", "\n".join(page for page in pages if page not in named)
        )


def setup(app):
    """Connect the above."""
    app.connect("source-read", list_further_pages)
