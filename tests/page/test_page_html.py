"""The file itself: one, small, whole, its text escaped, its charts what Plotly takes and the results say."""

import base64
import gzip
import json
import re
import warnings
from html.parser import HTMLParser

import numpy as np
import page_data
import pandas as pd
import plotly.graph_objects as go
import pytest

import klimit
from klimit.reports.page import render
from klimit.reports.page.charts.places import legible, sides
from klimit.reports.page.report import Report
from klimit.reports.page.text import answers

NAMES = ("with_policies", "with_ensemble", "hostile")


def payload(html):
    found = re.search(r'<script type="text/plain" id="data">([^<]*)</script>', html)
    return json.loads(gzip.decompress(base64.b64decode(found.group(1))))


def charts_of(name):
    return {chart["key"]: chart for chart in payload(getattr(page_data, name)().html)["charts"]}


class Elements(HTMLParser):
    """Tags with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_one_file_under_six_megabytes_that_names_no_other(name):
    report = getattr(page_data, name)()
    assert len(report.data) < 6e6
    elements = Elements(report.html).found
    links = [a for _, attributes in elements for k, a in attributes.items() if k in ("src", "href")]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not {"iframe", "object", "embed", "base", "img"} & {tag for tag, _ in elements}


def test_hostile_names_open_no_element_and_carry_no_handler():
    plain, hostile = (
        Elements(getattr(page_data, name)().html).found for name in ("with_policies", "hostile")
    )
    kinds = lambda found: {tag for tag, _ in found}  # noqa: E731
    assert kinds(hostile) <= kinds(plain) | {"p", "details", "summary", "code"}
    assert sum(tag == "script" for tag, _ in hostile) == sum(tag == "script" for tag, _ in plain) == 3
    assert not [k for _, attributes in hostile for k in attributes if k.startswith("on")]


def test_names_that_are_code_reach_plotly_escaped():
    for chart in charts_of("hostile").values():
        texts = [
            t for trace in chart["traces"] for key in ("text", "hovertext", "y") for t in trace.get(key, [])
        ]
        texts += [note["text"] for note in chart["layout"].get("annotations", [])]
        texts += [chart["layout"][ax].get("title", {}).get("text", "") for ax in ("xaxis", "yaxis")]
        for text in filter(lambda each: isinstance(each, str), texts):
            assert not re.search(r"<(?!br>)", text)


@pytest.mark.parametrize("name", NAMES)
def test_plotly_knows_every_property_of_the_charts(name):
    def resolved(value):
        if isinstance(value, dict):
            return {key: resolved(each) for key, each in value.items()}
        if isinstance(value, list):
            return [resolved(each) for each in value]
        return "#123456" if isinstance(value, str) and value.startswith("@") else value

    for chart in charts_of(name).values():
        go.Figure({"data": resolved(chart["traces"]), "layout": resolved(chart["layout"])})
        drawn = sorted(i for layer in chart["layers"] for i in layer["traces"])
        assert drawn == list(range(len(chart["traces"])))  # each trace has one switch


def test_every_colour_has_a_place_in_both_themes():
    style = render.asset("page.css")
    light, dark = re.findall(r":root(?:\[data-theme=\"dark\"\])? \{(.*?)\}", style, re.S)
    for name in NAMES:
        used = set(re.findall(r'"@(\w+)"', json.dumps(payload(getattr(page_data, name)().html)["charts"])))
        for theme in (light, dark):
            assert used <= set(re.findall(r"--(\w+):", theme))


def test_the_limit_drawn_is_the_limit():
    content = page_data.with_policies().content
    traces = charts_of("with_policies")["plane"]["traces"]
    line = next(t for t in traces if t["mode"] == "lines" and t["line"]["width"] == 3.2)
    kl, gain = np.array(line["x"][1:]), np.array(line["y"][1:])
    assert kl[-1] <= content.limit.horizon * (1 + 1e-6)
    for i in range(0, len(kl), 15):
        assert gain[i] == pytest.approx(content.limit.at(kl=float(kl[i])).gain, rel=1e-5)


def test_policies_stand_at_their_kl_and_gain():
    content = page_data.with_policies().content
    traces = charts_of("with_policies")["plane"]["traces"]
    for audit in content.audits:
        mine = [
            t for t in traces if t.get("marker", {}).get("symbol") == "diamond" and t["text"] == [audit.name]
        ]
        assert len(mine) == 1
        assert mine[0]["x"] == [pytest.approx(audit.kl.estimate, rel=1e-6)]
        assert mine[0]["y"] == [pytest.approx(audit.gain.estimate, rel=1e-6)]


def test_the_parts_of_a_bar_make_up_the_kl():
    content = page_data.with_policies().content
    bars = [t for t in charts_of("with_policies")["parts"]["traces"] if t["type"] == "bar"]
    for place, audit in enumerate(content.audits):
        total = sum(t["x"][place] for t in bars)
        assert total == pytest.approx(audit.kl.estimate, abs=0.03 * audit.kl.estimate)


def test_tables_hold_every_number_and_say_what_is_missing():
    content = page_data.with_ensemble().content
    tables = payload(page_data.with_ensemble().html)["tables"]
    assert list(tables) == list(content.tables)
    for name, table in content.tables.items():
        for column, values in zip(table.columns, tables[name]["values"], strict=True):
            for written, value in zip(values, table[column].tolist(), strict=True):
                if isinstance(value, float) and not np.isfinite(value):
                    assert written == (
                        None if np.isnan(value) else {1: "inf", -1: "-inf"}[int(np.sign(value))]
                    )
                else:
                    assert written == value


def test_answers_come_first_and_every_section_has_its_own_id():
    html = page_data.with_ensemble().html
    ids = [attributes["id"] for _, attributes in Elements(html).found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in re.findall(r'<h3><a href="#([\w-]+)">', html):
        assert link in ids
    assert (
        html.index('id="answer"')
        < html.index('id="plane"')
        < html.index('id="hacking-0"')
        < html.index('id="ensemble"')
    )


def test_a_page_of_very_many_prompts_says_that_its_table_is_cut(monkeypatch):
    monkeypatch.setattr(render, "MOST_PROMPTS", 10)
    html = Report(page_data.with_policies().content).html
    assert "The first 10 of 60 prompts" in html
    assert len(payload(html)["tables"]["prompts"]["values"][0]) == 10


def test_the_same_samples_give_the_same_bytes(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    base, _ = page_data.frames()
    first, second = (klimit.report(base).data for _ in range(2))
    assert first == second


def test_samples_without_a_horizon_make_a_page_that_says_so():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        few = pd.DataFrame({"prompt": np.repeat(np.arange(5), 3), "reward": np.arange(15.0)})
        html = klimit.report(few).html
    assert "There is no horizon" in html
    assert "these samples support no estimate of it" in html
    assert "The line is" not in html


def test_constant_rewards_make_a_page_that_says_so():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        html = klimit.report(pd.DataFrame({"prompt": np.repeat(np.arange(30), 20), "reward": 1.0})).html
    assert "nothing to gain at any KL" in html


def test_names_beside_points_keep_off_each_other_and_within_the_axes():
    points = [(0.1, 0.5), (0.12, 0.52), (0.95, 0.5)]
    found = sides(["policy one", "policy two", "the third"], points, [])
    assert found[0] != found[1]
    assert found[2].endswith("left")
    assert sides(["alone"], [(0.5, 0.5)], [])[0] == "bottom right"


def test_numbers_beside_rings_are_left_out_where_they_would_cover_others():
    crowd = [(0.5, 0.5)] * 9
    shown, _ = legible([str(2**i) for i in range(9)], crowd, [])
    assert 1 <= sum(map(bool, shown)) < 9
    apart = [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)]
    assert legible(["2", "4", "8"], apart, [])[0] == ["2", "4", "8"]


def test_the_interval_of_a_kl_lies_below_its_bar_where_no_number_stands():
    *bars, whole = charts_of("with_policies")["parts"]["traces"]
    assert {y for bar in bars for y in bar["y"]} == {0, 1, 2}
    assert all(0.35 < y - row < 0.5 for row, y in enumerate(whole["y"]))


def test_policies_of_unknown_kl_are_told_from_others_in_words():
    assert "Open triangles are policies whose KL is unknown" in page_data.odd().html
    assert "Open triangles" not in page_data.with_policies().html


def test_swatches_look_like_what_they_switch():
    for chart in charts_of("with_ensemble").values():
        for layer in chart["layers"]:
            symbols = {chart["traces"][i].get("marker", {}).get("symbol") for i in layer["traces"]}
            filled = {chart["traces"][i].get("marker", {}).get("color") for i in layer["traces"]} - {"@paper"}
            if "circle" in symbols and layer["swatch"] in ("ring", "disc", "square", "diamond"):
                assert layer["swatch"] == ("disc" if filled else "ring")


def test_actions_name_no_option_that_a_page_lacks():
    base, policies = page_data.frames()
    idle = policies["grpo"].assign(reward=base.reward.min())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        pages = [page_data.with_ensemble().content, klimit.report(base, policies={"idle": idle}).content]
    for content in pages:
        for each in answers(content):
            assert "--prompts-csv" not in each.action
            assert not re.search(r"(?<!klimit ensemble )--aggregate", each.action)


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    report = page_data.with_policies()
    with pytest.raises(klimit.InputError, match=r"no such folder|cannot"):
        report.save(tmp_path / "absent" / "page.html")
    report.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == report.data
