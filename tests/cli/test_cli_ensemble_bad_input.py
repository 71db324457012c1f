"""Bad input ends ``klimit ensemble`` with status 2 and one line on stderr; nothing is written, no traceback shown."""

import numpy as np
import pytest
from cli_proxies import members_table

ALL = "proxy_1,proxy_2,proxy_3,proxy_4"


@pytest.fixture
def scored(tmp_path):
    members_table().to_parquet(tmp_path / "scored.parquet")
    return tmp_path / "scored.parquet"


def refused(run, folder, *arguments, said, proxies=ALL, gold="gold", asked=("--json", "--plot", "--output")):
    """Run with all outputs asked for: none may appear."""
    names = {"--json": "out.json", "--plot": "out.png", "--output": "out.parquet"}
    outputs = [
        part for option in asked if option not in arguments for part in (option, folder / names[option])
    ]
    judge = ["--gold", gold] if gold else []
    before = sorted(folder.iterdir())
    done = run("ensemble", *arguments, "--proxies", proxies, *judge, "--subsets", "0", *outputs)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("klimit: error: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert said in done.err
    assert sorted(folder.iterdir()) == before


def changed(folder, **columns):
    members_table().assign(**columns).to_parquet(folder / "changed.parquet")
    return folder / "changed.parquet"


def test_missing_columns_name_the_nearest(run, scored, tmp_path):
    refused(run, tmp_path, scored, proxies="proxy_1,proxi_2,proxy_3", said="did you mean 'proxy_2'?")
    refused(run, tmp_path, scored, gold="golden", said="did you mean 'gold'?")


@pytest.mark.parametrize(
    ("proxies", "said"),
    [
        ("proxy_1", "at least 2 members"),
        ("proxy_1,proxy_1", "given twice"),
        ("proxy_1,gold", "among the proxies"),
    ],
)
def test_members_that_cannot_be(run, scored, tmp_path, proxies, said):
    refused(run, tmp_path, scored, proxies=proxies, said=said)


def test_fewer_than_three_proxies_without_gold(run, scored, tmp_path):
    said = "2 without gold: collocation needs 3"
    refused(
        run, tmp_path, scored, proxies="proxy_1,proxy_2", gold=None, said=said, asked=("--json", "--plot")
    )


def test_a_constant_proxy_and_a_constant_gold(run, tmp_path):
    refused(
        run, tmp_path, changed(tmp_path, proxy_2=1.0), said="proxy 'proxy_2' never varies within a prompt"
    )
    refused(run, tmp_path, changed(tmp_path, gold=0.0), said="gold 'gold' never varies within a prompt")


@pytest.mark.parametrize("gold", ["gold", None])
def test_a_proxy_that_runs_against_the_others_is_named_not_turned(run, tmp_path, gold):
    turned = changed(tmp_path, proxy_3=-members_table()["proxy_3"])
    refused(run, tmp_path, turned, gold=gold, said="proxy_3: no common order with the other proxies")
    refused(run, tmp_path, turned, gold=gold, said="--lower-is-better turns all of them")


def test_a_proxy_opposed_to_another_is_one_line_even_where_errors_have_no_ceiling(run, tmp_path):
    table = members_table()
    opposed = changed(tmp_path, proxy_3=-table["proxy_1"] - 0.1 * table["proxy_2"])
    refused(run, tmp_path, opposed, proxies="proxy_1,proxy_2,proxy_3", said="no common order")


def test_the_good_ones_are_not_refused(run, scored):
    assert run("ensemble", scored, "--proxies", ALL, "--gold", "gold", "--subsets", "0").status == 0
    assert run("ensemble", scored, "--proxies", ALL).status == 0


def test_proxies_that_all_fall_with_gold(run, tmp_path):
    refused(run, tmp_path, changed(tmp_path, gold=-members_table()["gold"]), said="does not rise with gold")


def test_missing_values_say_which_rows_to_leave_out(run, tmp_path):
    gold = members_table()["gold"].where(lambda column: column.index % 7 != 0)
    proxy = members_table()["proxy_2"].where(lambda column: column.index % 9 != 0)
    file = changed(tmp_path, gold=gold, proxy_2=proxy)
    refused(run, tmp_path, file, said="--where")
    assert run("ensemble", file, "--proxies", ALL, "--gold", "gold", "--subsets", "0",
               "--where", "gold is not null and proxy_2 is not null").status == 0  # fmt: skip


def test_an_infinite_proxy(run, tmp_path):
    proxy = members_table()["proxy_1"].where(lambda column: column.index != 5, np.inf)
    refused(run, tmp_path, changed(tmp_path, proxy_1=proxy), said="proxy_1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--aggregate", "meen"], "did you mean 'mean'?"),
        (["--aggregate", "uwo"], "give lambda"),
        (["--aggregate", "weighted:1,2"], "needs 2 members; there are 4"),
        (["--name", "gold"], "there is a reward 'gold' already"),
        (["--name", "sample_id"], "there is a column 'sample_id' already"),
        (["--name", "prompt_id"], "there is a column 'prompt_id' already"),
        (["--level", "95"], "give a probability"),
        (["--seed", "-1"], "not negative"),
        (["--where", "gold >"], "where"),
        (["--where", "gold > 99"], "keeps none"),
        (["--min-completions", "99"], "no prompt has 99 completions"),
        (["--output", "{folder}/out.xlsx"], "must end in .parquet, .csv"),
        (["--output", "{folder}/none/out.csv"], "there is no folder"),
        (["--output", "{folder}/scored.parquet"], "would destroy it"),
        (["--plot", "{folder}/out.jpeg"], "must end in .png, .svg, .pdf"),
        (["--json", "{folder}/none/out.json"], "there is no folder"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_options_that_cannot_be(run, scored, tmp_path, arguments, said):
    refused(run, tmp_path, scored, *(part.format(folder=tmp_path) for part in arguments), said=said)


def test_a_negative_number_of_subsets(run, scored):
    done = run("ensemble", scored, "--proxies", ALL, "--gold", "gold", "--subsets", "-1")
    assert done.status == 2
    assert "--subsets -1" in done.err
