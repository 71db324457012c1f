"""The base policy's samples given as the policy's are found out, and nothing else is taken for them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from klimit.audits.audit import audit
from klimit.audits.same import check_distinct
from klimit.errors import InputError
from klimit.samples import Samples
from klimit.testsystems import PolicyTables, random_tables

pytestmark = pytest.mark.filterwarnings("ignore::klimit.errors.KlimitWarning")

BASE, REWARDS = random_tables(40, 24, n_levels=5, seed=11)
POLICY, START = PolicyTables.noisy(BASE, REWARDS, 0.5, 0.7, seed=1).sample(60, 16, 16, seed=0)


def plain(samples: Samples, **changes) -> Samples:
    """The same rewards on the same prompts, without log-probabilities or anything else."""
    return Samples(dict(samples.rewards), samples.offsets, samples.prompt_ids, **changes)


def refused(policy, base, said, **options):
    with pytest.raises(InputError, match=said) as caught:
        audit(policy, base, **options)
    assert "\n" not in str(caught.value)


def table(samples: Samples, **columns) -> pd.DataFrame:
    found = {"prompt_id": np.repeat(samples.prompt_ids, samples.counts), "reward": samples.reward()}
    if samples.logprob is not None:
        found |= {"logprob": samples.logprob, "ref_logprob": samples.ref_logprob}
    return pd.DataFrame({**found, **columns})


ROWS = r"its 960 completions are those of .*, row for row \(equal in rewards"


def test_the_same_rows_are_refused_with_log_probabilities_or_without():
    refused(POLICY, replace(POLICY, source="copy"), f"{ROWS}, logprob, ref_logprob\\): an audit needs")
    refused(plain(POLICY), plain(POLICY), f"{ROWS}\\)")
    refused(table(POLICY), table(POLICY), ROWS)
    # Negative control: other draws pass.
    assert audit(POLICY, START).kl.known
    assert audit(plain(POLICY), plain(START)).gain.known


def test_the_base_policys_samples_are_refused_even_where_they_say_that_they_equal_their_reference():
    base = replace(START, ref_logprob=START.logprob)
    refused(base, replace(base, source="copy"), ROWS)


def test_completions_of_one_policy_scored_under_another_are_no_sample_of_it():
    # The policy's own completions, with its log-probabilities, and the same rows as base samples.
    refused(POLICY, plain(POLICY), f"{ROWS}\\): an audit needs completions drawn from the policy and others")
    refused(POLICY, plain(POLICY, logprob=POLICY.ref_logprob), ROWS)


def test_a_policy_all_but_equal_to_its_base_may_draw_the_same_completions_from_the_same_random_numbers():
    near = BASE * np.exp(1e-4 * np.random.default_rng(0).standard_normal(BASE.shape))
    system = PolicyTables(BASE, near / near.sum(axis=1, keepdims=True), REWARDS)
    policy, _ = system.sample(60, 16, 16, seed=0)
    found = audit(policy, plain(policy))
    assert found.gain.estimate == 0.0
    assert abs(found.kl.estimate) < 1e-4
    # Negative control: with ratios that would have made some draws differ it is one sample scored twice.
    far = np.random.default_rng(0).normal(scale=0.1, size=policy.n_completions)
    refused(replace(policy, ref_logprob=policy.ref_logprob - far), plain(policy), ROWS)


def test_rewards_that_agree_by_chance_are_no_proof():
    ones = plain(POLICY, source="all pass")
    ones = replace(ones, rewards={"reward": np.ones(ones.n_completions)})
    check_distinct(ones, replace(ones, source="base"), "reward")
    few = replace(Samples.from_array([[0, 1], [1, 1], [0, 0]]), source="six rows")
    check_distinct(few, replace(few, source="base"), "reward")
    # Texts tell: with equal ones, constant rewards are proof enough; with different ones, nothing is.
    texts = np.array([f"answer {i}" for i in range(ones.n_completions)], dtype=object)
    told = replace(ones, completions=texts)
    with pytest.raises(InputError, match=r"\(equal in rewards, texts\)"):
        check_distinct(told, replace(told, source="base"), "reward")
    check_distinct(told, replace(told, completions=texts[::-1].copy()), "reward")
    same = replace(POLICY, completions=texts)
    check_distinct(same, replace(same, completions=texts[::-1].copy()), "reward")


@pytest.fixture
def files(tmp_path):
    """A file of the base samples, and one that holds both policies."""
    base, both = tmp_path / "base.parquet", tmp_path / "both.parquet"
    table(plain(START)).to_parquet(base)
    parts = [
        table(POLICY, step=100, who="grpo"),
        table(replace(START, ref_logprob=START.logprob), step=0, who="base"),
    ]
    pd.concat(parts).to_parquet(both)
    return base, both


def test_the_same_file_is_refused_by_whatever_name(files, tmp_path):
    base, both = files
    link = tmp_path / "link.parquet"
    link.symlink_to(base)
    copied = tmp_path / "copy.parquet"
    copied.write_bytes(base.read_bytes())
    refused(
        base, base, r"base.parquet: given as policy and as base; if it holds both, choose the rows of each"
    )
    refused(link, str(base), "given as policy and as base")
    refused({"run": [str(base)]}, [base], "given as policy and as base")
    refused(both, both, "given as policy and as base", where="who = 'grpo'")
    refused(both, both, "given as policy and as base", base_where="who = 'base'")
    refused(both, both, "given as policy and as base", by="step")
    refused(copied, base, ROWS)
    assert audit(both, base, where="who = 'grpo'").gain.known


def test_one_file_that_holds_both_is_parted_by_conditions(files):
    _, both = files
    found = audit(both, both, where="who = 'grpo'", base_where="who = 'base'")
    assert found.values == audit(POLICY, START).values
    with pytest.raises(InputError, match=r"both.parquet \[step=0\]: its 960 completions are those of"):
        audit(both, both, by="step", base_where="step = 0")
    assert audit(both, both, by="step", where="step > 0", base_where="step = 0").names == ("step=100",)


def test_the_same_object_is_refused():
    frame = table(POLICY)
    refused(frame, frame, "the same DataFrame is given as policy and as base")
    refused([POLICY], POLICY, "the same Samples is given as policy and as base")
