"""The site builds without network or warning; every link within it leads somewhere; its checks do find faults.

The site is built once, as ``make docs`` does, by a process that cannot open a connection. Negative controls build a
page of their own with a fault in it, which must stop the build.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BENCHMARKS = ROOT / "benchmarks"

OFFLINE = """
import socket, sys

def refuse(*args, **kwargs):
    raise OSError("the site must build without network")

socket.socket.connect = socket.getaddrinfo = refuse
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


def build(source: Path, target: Path, **config: str) -> subprocess.CompletedProcess[str]:
    """Build a site with warnings as errors, as the Makefile does."""
    settings = [f"-D{name}={value}" for name, value in config.items()]
    where = ["-d", str(target / "doctrees"), str(source), str(target / "html")]
    command = [sys.executable, "-c", OFFLINE, "-W", "-n", "--keep-going", "-q", *settings, *where]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@dataclass
class Page:
    """What a page of the site refers to."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)


class Reader(HTMLParser):
    """Collects anchors, links, and what a browser fetches by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.page.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.page.links.append(given["href"])
        elif tag == "link" and "href" in given and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.page.loads.append(given["href"])
        elif "src" in given:
            self.page.loads.append(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(DOCS, target)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return target / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {}
    for path in site.rglob("*.html"):
        reader = Reader()
        reader.feed(path.read_text())
        found[path] = reader.page
    return found


def astray(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a link of a page leads to a file or an anchor that is not there; external links are not followed."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not to.is_file():
        return True
    return bool(parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].anchors)


def test_every_link_within_the_site_leads_somewhere(pages: dict[Path, Page]) -> None:
    links = [(path, link) for path, page in pages.items() for link in [*page.links, *page.loads]]
    assert len(links) > 1000
    assert [(path.name, link) for path, link in links if astray(path, link, pages)] == []


def test_a_link_astray_is_found_out(pages: dict[Path, Page]) -> None:
    index = next(path for path in pages if path.name == "index.html" and "api" not in path.parts)
    assert not astray(index, "theory.html#the-limit", pages)
    assert astray(index, "theory.html#the-limits", pages)
    assert astray(index, "theories.html", pages)


def test_reading_it_fetches_nothing_from_elsewhere(pages: dict[Path, Page]) -> None:
    loads = [each for page in pages.values() for each in page.loads]
    assert loads
    assert [
        each for each in loads if urlsplit(each).netloc or urlsplit(each).scheme not in ("", "data")
    ] == []
    styles = "".join(path.read_text() for path in next(iter(pages)).parents[0].rglob("_static/**/*.css"))
    assert "url(http" not in styles
    assert "@import" not in styles


def test_formulas_need_no_script(site: Path) -> None:
    theory = (site / "theory.html").read_text()
    assert theory.count("<math") > 50
    assert "\\(" not in theory
    assert "mathjax.js" not in theory.lower()


def test_tables_of_cover_are_those_of_the_studies(site: Path) -> None:
    text = re.sub(r"<[^>]+>", " ", (site / "cover.html").read_text())
    study = pd.read_csv(BENCHMARKS / "cover.csv")
    cell = study[(study.law == "gaussian") & (study.completions == 32)].cover
    worst = study.loc[study.cover.idxmin()]
    assert f"{cell.mean():.1f} ({cell.min():.1f})" in text
    assert f"the lowest, {worst.cover:.1f}% ± {worst.standard_error:.1f}: law {worst.law}" in text


@pytest.mark.parametrize("study", sorted(path.name for path in BENCHMARKS.glob("*cover.csv")))
def test_every_study_of_cover_has_a_table(study: str) -> None:
    assert f"{{cover-table}} {study}\n" in (DOCS / "cover.md").read_text()


def test_the_traps_name_tests_that_there_are() -> None:
    named = re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/[^)]+)\)", (DOCS / "traps.md").read_text())
    assert len(named) > 25
    for test, file in named:
        assert re.search(rf"\bdef {test}\(", (ROOT / file).read_text()), f"{file} has no {test}"


# Negative controls: a page of its own, with the site's settings and a fault.

GOOD = '''"""A library."""

from dataclasses import dataclass

__all__ = ["Result", "ask"]


@dataclass
class Result:
    """What came out.

    Attributes:
        gain: reward.
    """

    gain: float

    def double(self) -> float:
        """Twice the gain."""
        return 2 * self.gain


def ask() -> Result:
    """Ask."""
    return Result(1.0)
'''
ALL = ".. autoclass:: toy.Result\n\n.. autofunction:: toy.ask\n"
FAULTS = {
    "a function without a docstring": (
        GOOD.replace('    """Ask."""\n', ""),
        ALL,
        "toy.ask is public and has no docstring",
    ),
    "a method without a docstring": (
        GOOD.replace('        """Twice the gain."""\n', ""),
        ALL,
        "toy.Result.double is public",
    ),
    "a class without a docstring": (
        re.sub(r'    """What came out.*?"""\n', "", GOOD, flags=re.S),
        ALL,
        "toy.Result is public and has no docstring",
    ),
    "a field without a word": (
        GOOD.replace("        gain: reward.\n", "        loss: none.\n"),
        ALL,
        "toy.Result.gain is public",
    ),
    "a name that no page has": (
        GOOD,
        ".. autoclass:: toy.Result\n",
        "toy.ask is public but not in the reference",
    ),
    "a reference to what there is not": (GOOD, ALL + "\nSee :func:`toy.tell`.\n", "toy.tell"),
    "a formula that cannot be set": (GOOD, ALL + "\n.. math:: \\nonsense{x}\n", "cannot typeset"),
    "a page that is not there": (GOOD, ALL + "\n:doc:`theory`\n", "unknown document"),
}


def build_toy(folder: Path, code: str, page: str) -> subprocess.CompletedProcess[str]:
    (folder / "toy.py").write_text(code)
    (folder / "index.rst").write_text(f"Toy\n===\n\n{page}")
    settings = (DOCS / "conf.py").read_text().replace("Path(__file__).parent", f"Path({str(DOCS)!r})")
    more = f"\nsys.path.insert(0, {str(folder)!r})\npublic_modules = ['toy']\nhtml_static_path = []\n"
    (folder / "conf.py").write_text(settings + more)
    return build(folder, folder / "built", html_theme="basic")


def test_a_page_without_faults_builds(tmp_path: Path) -> None:
    done = build_toy(tmp_path, GOOD, ALL)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_stops_the_build(fault: str, tmp_path: Path) -> None:
    code, page, message = FAULTS[fault]
    done = build_toy(tmp_path, code, page)
    assert done.returncode == 1
    assert message in done.stderr
