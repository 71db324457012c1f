"""Code on the pages runs in order and prints what the page shows.

Blocks of ``python`` share one namespace; lines ``$ klimit ...`` of ``console`` blocks are commands. What they print is
the block ``text`` that follows, or the rest of the ``console`` block. ``python tests/docs/test_docs_pages.py`` writes
it anew, with the figures that commands drew.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from klimit.cli.entry import run

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
PAGES = tuple(sorted(page.name for page in DOCS.glob("*.md") if BLOCK.search(page.read_text())))
NEEDS = {"models.md": "transformers"}  # pages whose code needs an extra
NUMBER = re.compile(r"\d+\.\d+|\d+")


def results(page: str) -> Iterator[tuple[re.Match[str], str]]:
    """Every block in order with what it prints, run in the current folder."""
    namespace: dict[str, object] = {}
    for block in BLOCK.finditer(page):
        kind, code, _ = block.groups()
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "python":
                exec(compile(code, "page", "exec"), namespace)
            else:
                (command,) = re.findall(r"^\$ klimit (.*)$", code, re.M)
                assert run(shlex.split(command)) == 0, command
        yield block, out.getvalue()


def shown(block: re.Match[str]) -> str:
    """What the page says that a block prints."""
    kind, code, text = block.groups()
    return (text or "") if kind == "python" else code.split("\n", 1)[1]


def alike(page: str, printed: str) -> bool:
    """The same words; numbers may differ by what a machine's rounding may do to the last digit."""
    if NUMBER.sub("#", page).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(NUMBER.findall(page), NUMBER.findall(printed), strict=True)
    return all(abs(float(a) - float(b)) <= 1.01 * 10.0 ** -len(a.partition(".")[2]) for a, b in pairs)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_shows_what_its_code_prints(name, tmp_path, monkeypatch):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    for block, printed in results((DOCS / name).read_text()):
        assert alike(shown(block), printed), f"{name}: outdated; the code prints\n{printed}"


@pytest.mark.parametrize("name", PAGES)
def test_links_and_figures_lead_somewhere(name):
    page = (DOCS / name).read_text()
    anchors = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", page, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", page):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            assert (DOCS / target.partition("#")[0]).is_file(), target


def test_a_page_that_says_otherwise_is_caught():
    assert alike("gain 0.31 [0.28, 0.34]", "gain  0.32 [0.28,\n0.34]")
    assert not alike("gain 0.31 [0.28, 0.34]", "gain 0.41 [0.28, 0.34]")
    assert not alike("gain 0.31", "loss 0.31")


def refresh(name: str) -> None:
    """Write the page's outputs anew, and the figures that it shows."""
    path = DOCS / name
    page = path.read_text()
    written, end = [], 0
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for block, printed in results(page):
            kind, code, _ = block.groups()
            written.append(page[end : block.start()])
            if kind == "console":
                first = code.split("\n", 1)[0]
                written.append(f"```console\n{first}\n{printed}```\n")
            else:
                written.append(f"```python\n{code}```\n" + (f"\n```text\n{printed}```\n" if printed else ""))
            end = block.end()
        for figure in Path(folder).glob("*.png"):
            shutil.copy(figure, DOCS / "images" / figure.name)
    path.write_text("".join([*written, page[end:]]))


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "80")
    for page_name in PAGES:
        refresh(page_name)
