"""Bad input ends ``klimit hacking`` with status 2 and one line on stderr; nothing is written, no traceback shown."""

import numpy as np
import pytest
from cli_proxies import proxy_table


@pytest.fixture
def scored(tmp_path):
    proxy_table(20, 16).to_parquet(tmp_path / "scored.parquet")
    return tmp_path / "scored.parquet"


def refused(run, folder, *arguments, said, proxy="proxy", gold="gold"):
    """Run with both outputs asked for: neither may appear."""
    outputs = [] if "--json" in arguments else ["--json", folder / "out.json"]
    outputs += [] if "--plot" in arguments else ["--plot", folder / "out.png"]
    before = sorted(folder.iterdir())
    done = run("hacking", *arguments, "--proxy", proxy, "--gold", gold, *outputs)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("klimit: error: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert said in done.err
    assert sorted(folder.iterdir()) == before


def changed(folder, **columns):
    proxy_table(20, 16).assign(**columns).to_parquet(folder / "changed.parquet")
    return folder / "changed.parquet"


def test_the_good_table_is_not_refused(run, scored):
    assert run("hacking", scored, "--proxy", "proxy", "--gold", "gold").status == 0


def test_a_missing_column_names_the_nearest(run, scored, tmp_path):
    refused(run, tmp_path, scored, proxy="proxi", said="did you mean 'proxy'?")
    refused(run, tmp_path, scored, gold="golden", said="did you mean 'gold'?")
    refused(run, tmp_path, scored, "--prompt", "promptid", said="did you mean 'prompt_id'?")


def test_proxy_and_gold_of_one_name(run, scored, tmp_path):
    refused(run, tmp_path, scored, proxy="gold", said="--proxy and --gold are both 'gold'")


def test_a_proxy_that_is_a_copy_of_gold_is_no_error_but_is_never_hacked(run, tmp_path):
    table = proxy_table(60, 32)
    table.assign(proxy=table["gold"]).to_parquet(tmp_path / "copy.parquet")
    done = run("hacking", tmp_path / "copy.parquet", "--proxy", "proxy", "--gold", "gold")
    assert done.status == 0
    assert "helps gold as far as the samples show" in " ".join(done.out.split())
    assert "! 'proxy' and 'gold' are equal on every labelled completion" in done.out


def test_a_constant_proxy(run, tmp_path):
    refused(run, tmp_path, changed(tmp_path, proxy=1.0), said="proxy 'proxy' never varies within a prompt")


def test_a_gold_that_never_varies_where_it_is_known(run, tmp_path):
    said = "gold 'gold' never varies within a prompt where it is known"
    refused(run, tmp_path, changed(tmp_path, gold=1.0), said=said)


def test_one_prompt_alone(run, tmp_path):
    proxy_table(1, 64).to_parquet(tmp_path / "one.parquet")
    refused(run, tmp_path, tmp_path / "one.parquet", said="1 prompt: one says nothing about others")


def test_prompts_with_few_completions_are_named_as_they_are_written(run, tmp_path):
    table = proxy_table(20, 16)
    table = table.assign(prompt_id=np.arange(len(table)) // 16)[
        lambda t: (t["prompt_id"] != 3) | (t["sample_id"] < 9)
    ]
    table.to_parquet(tmp_path / "few.parquet")
    refused(run, tmp_path, tmp_path / "few.parquet", said="(prompt 3 has 9)")


def test_gold_and_proxy_that_do_not_overlap(run, tmp_path):
    table = proxy_table(20, 16)
    half = table["sample_id"] < 8
    bare = table["proxy"].where(half)
    refused(run, tmp_path, changed(tmp_path, gold=table["gold"].where(~half), proxy=bare), said="proxy")
    refused(run, tmp_path, changed(tmp_path, gold=np.nan), said="gold")
    one = table["gold"].where(table["sample_id"] == 0)
    refused(run, tmp_path, changed(tmp_path, gold=one), said="no overlap")


def test_a_proxy_with_missing_values_says_where_and_how_to_leave_them_out(run, tmp_path):
    proxy = proxy_table(20, 16)["proxy"].where(lambda column: column.index % 50 != 3)
    refused(run, tmp_path, changed(tmp_path, proxy=proxy), said="--where")


def test_an_infinite_label(run, tmp_path):
    gold = proxy_table(20, 16)["gold"].where(lambda column: column.index != 3, np.inf)
    refused(run, tmp_path, changed(tmp_path, gold=gold), said="gold")


def test_too_few_completions(run, tmp_path):
    table = proxy_table(20, 16)
    table[table["sample_id"] < 15].to_parquet(tmp_path / "few.parquet")
    refused(run, tmp_path, tmp_path / "few.parquet", said="--min-completions 16")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kl", "half"], "--kl"),
        (["--kl", "0"], "kl"),
        (["--n", "2.5"], "--n"),
        (["--n", "17"], "N = 17 is above 16"),
        (["--n", "0"], "at least 1"),
        (["--level", "95"], "give a probability"),
        (["--seed", "-1"], "not negative"),
        (["--where", "proxy >"], "where"),
        (["--where", "proxy > 99"], "keeps none"),
        (["--min-completions", "99"], "no prompt has 99 completions"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_options_that_cannot_be(run, scored, tmp_path, arguments, said):
    refused(run, tmp_path, scored, *arguments, said=said)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--json", "{folder}/none/out.json", "there is no folder"),
        ("--json", "{folder}/scored.parquet", "would destroy it"),
        ("--plot", "{folder}/out.jpeg", "must end in .png, .svg, .pdf"),
        ("--plot", "{folder}/none/out.png", "there is no folder"),
    ],
)
def test_an_output_path_that_cannot_be_written(run, scored, tmp_path, option, value, said):
    refused(run, tmp_path, scored, option, value.format(folder=tmp_path), said=said)


def test_outputs_are_checked_before_the_samples_are_read(run, scored, tmp_path, monkeypatch):
    monkeypatch.setattr("klimit.samples.read_samples", lambda *_, **__: pytest.fail("read too early"))
    refused(run, tmp_path, scored, "--plot", tmp_path / "none" / "out.png", said="there is no folder")


@pytest.mark.parametrize("missing", ["--proxy", "--gold"])
def test_an_option_that_is_needed_is_asked_for(run, scored, missing):
    given = {"--proxy": "proxy", "--gold": "gold"}
    given.pop(missing)
    done = run("hacking", scored, *(part for pair in given.items() for part in pair))
    assert done.status == 2
    assert missing in done.err
    assert done.err.count("\n") == 1
