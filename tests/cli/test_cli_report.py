"""``klimit report``: the page is written whole, says where it comes from, and faults are one line."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from cli_audits import base_table, policy_table

import klimit
from klimit.cli.entry import run


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A policy's file and the base policy's, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    policy_table().to_parquet("grpo.parquet")
    base_table().to_parquet("base.parquet")
    return tmp_path


def gold_and_proxy(n_prompts=40, n=48):
    rng = np.random.default_rng(0)
    gold = rng.normal(size=(n_prompts, n))
    table = {"prompt": np.repeat(np.arange(n_prompts), n), "gold": gold.ravel()}
    for k in range(3):
        table[f"proxy_{k}"] = (gold + rng.normal(size=gold.shape)).ravel()
    return pd.DataFrame(table)


def refused(capsys, *arguments):
    """The one line on stderr of a command that must fail."""
    assert run(["report", *map(str, arguments)]) != 0
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.startswith("klimit: read by")]
    assert len(lines) == 1
    assert "Traceback" not in said.err
    assert said.out == ""
    return lines[0]


def test_the_answers_are_printed_and_the_page_is_written(files, capsys):
    assert run(["report", "base.parquet", "--policy", "my run=grpo.parquet", "-o", "page.html"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("At ")
    assert "my run" in said.out
    assert "wrote page.html" in said.err
    page = (files / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert said.out.splitlines()[0].strip()[:30] in page
    assert sorted(path.name for path in files.iterdir()) == ["base.parquet", "grpo.parquet", "page.html"]


def test_json_holds_what_each_command_gives_alone(files, capsys):
    assert (
        run(["report", "base.parquet", "--policy", "grpo=grpo.parquet", "-o", "p.html", "--json", "p.json"])
        == 0
    )
    capsys.readouterr()
    found = json.loads((files / "p.json").read_text())
    assert run(["audit", "grpo.parquet", "--base", "base.parquet", "--json", "-"]) == 0
    alone = json.loads(capsys.readouterr().out)
    audit = found["audits"]["policies"][0] if "policies" in found["audits"] else found["audits"]
    other = alone["policies"][0] if "policies" in alone else alone
    for name in ("kl", "gain", "efficiency"):
        assert audit[name] == other[name]
    assert found["provenance"]["sources"][0]["name"] == "base.parquet"
    assert len(found["prompts"]["table"]["prompt"]) == found["limit"]["n_prompts"]


def test_no_folder_of_the_reader_or_writer_stands_on_the_page(files, capsys):
    out = files / "somewhere" / "page.html"
    out.parent.mkdir()
    assert run(["report", str(files / "base.parquet"), "-o", str(out)]) == 0
    page = out.read_text()
    assert str(files) not in page
    assert "somewhere" not in page
    command = re.search(r"<code>(klimit report .*?)</code>", page).group(1)
    assert command == "klimit report base.parquet -o page.html"


def test_gold_proxies_and_an_ensemble_are_on_one_page(files, capsys):
    gold_and_proxy().to_parquet("scored.parquet")
    names = [word for k in range(3) for word in ("--proxy", f"proxy_{k}")]
    assert (
        run(["report", "scored.parquet", "--gold", "gold", *names, "--subsets", "1", "-o", "page.html"]) == 0
    )
    page = (files / "page.html").read_text()
    for place in ("plane", "hacking-0", "hacking-2", "ensemble", "ensemble-gap"):
        assert f'<section id="{place}"' in page


def test_a_proxy_that_cannot_be_optimised_leaves_the_others(files, capsys):
    gold_and_proxy().assign(flat=1.0).to_parquet("scored.parquet")
    assert (
        run(
            [
                "report",
                "scored.parquet",
                "--gold",
                "gold",
                "--proxy",
                "proxy_0",
                "--proxy",
                "flat",
                "-o",
                "p.html",
            ]
        )
        == 0
    )
    assert "no answer about flat" in " ".join(capsys.readouterr().out.split())
    assert "no answer about flat" in (files / "p.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["base.parquet", "-o", "page.pdf"], r"page\.pdf: the name must end in \.html"),
        (["absent.parquet", "-o", "page.html"], r"absent\.parquet: no such file"),
        (["base.parquet", "-o", "absent/page.html"], r"absent"),
        (["base.parquet", "-o", "page.html", "--gold", "gold"], r"gold"),
        (["base.parquet", "-o", "page.html", "--proxy", "reward"], r"without gold"),
        (["base.parquet", "-o", "page.html", "--policy", "a=base.parquet"], r"base"),
        (
            ["base.parquet", "-o", "page.html", "--policy-where", "x > 1"],
            r"about policies, and none is given",
        ),
        (["base.parquet", "-o", "page.html", "--level", "2"], r"level"),
        (["base.parquet", "-o", "page.html", "--subsets", "-1"], r"subsets=-1"),
        (["base.parquet", "-o", "page.html", "--title", " "], r"give a title"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(files, capsys, arguments, says):
    assert re.search(says, refused(capsys, *arguments))
    assert not [path for path in files.iterdir() if path.suffix in (".html", ".pdf")]


def test_an_output_that_is_also_an_input_is_refused(files, capsys):
    (files / "base.html").write_bytes((files / "base.parquet").read_bytes())
    before = (files / "base.html").read_bytes()
    assert run(["report", "base.html", "-o", "base.html"]) != 0
    assert (files / "base.html").read_bytes() == before


def test_an_interrupted_command_writes_nothing(files, monkeypatch):
    from klimit.reports.page import report as page_report

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(page_report.Report, "data", property(interrupted))
    assert run(["report", "base.parquet", "-o", "page.html"]) == 130
    assert not (files / "page.html").exists()


def test_the_python_function_gives_the_same_page(files, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert run(["report", "base.parquet", "-o", "page.html"]) == 0
    drop = lambda text: re.sub(r"<dt>Command</dt><dd>.*?</dd>", "", text)  # noqa: E731
    by_python = klimit.report("base.parquet").html
    assert re.sub(r"\s+", " ", drop((files / "page.html").read_text())) == re.sub(
        r"\s+", " ", drop(by_python)
    )
