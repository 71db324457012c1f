"""The page of the lab says what the files beside it say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
WORLDS = ("safety", "summarization")


def page_row(row) -> str:
    """A policy as the page's table has it: held-out, then on the prompts trained on."""
    cells = [row["name"], *numbers(row)]
    if "on_training_prompts" in row:
        there, objective = row["on_training_prompts"], row["objective"]
        cells += [f"{100 * there['efficiency']:.1f}%"]
        cells += [f"{100 * objective['share']:.1f}%", f"{100 * objective['change']:+.1f}"]
    else:
        cells += ["", "", ""]
    return f"| {' | '.join(cells)} |"


def numbers(row) -> list[str]:
    """KL, gain, share of the limit, and parts of the KL."""
    parts = [f"{row['parts'][name]:.3f}" for name in ("necessary", "allocation", "shape", "off_reward")]
    return [f"{row['kl']:.2f}", f"{row['gain']:.3f}", f"{100 * row['efficiency']:.1f}%", *parts]


def proxy_row(row) -> str:
    """A proxy as the page's table has it: correlation, gold gained of the limit by KL, and where gold turns."""
    shares = [f"{100 * at['gain'] / at['limit']:.0f}%" for at in row["at_kl"].values()]
    peak = "never" if row["peak_kl"] is None else f"{row['peak_kl']:.2f}"
    cells = [row["name"], f"{row['correlation']:.2f}", *shares, peak]
    return f"| {' | '.join(cells)} |"


@pytest.fixture(params=WORLDS)
def found(request):
    """The results on file of each world."""
    return json.loads((DOCS / "lab" / f"{request.param}.json").read_text())


def test_every_policy_and_proxy_stands_in_the_page_as_in_its_file(found):
    page = (DOCS / "lab.md").read_text()
    for row in found["policies"]:
        assert page_row(row) in page
    for row in found["proxies"]:
        assert proxy_row(row) in page


def test_nothing_on_file_lies_above_its_exact_limit_and_parts_sum_to_the_kl(found):
    for row in found["policies"]:
        for numbers_of in (row, row.get("on_training_prompts", row)):
            assert numbers_of["efficiency"] <= 1 + 1e-9
            assert sum(numbers_of["parts"].values()) == pytest.approx(numbers_of["kl"], rel=1e-6)


def test_figures_of_the_page_are_there():
    for world in WORLDS:
        assert (DOCS / "images" / f"lab-{world}.png").read_bytes()[:4] == b"\x89PNG"
