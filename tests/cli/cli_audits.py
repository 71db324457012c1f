"""Tables of policies and their base policy for the audit's command, drawn from policies known exactly."""

from functools import cache

import numpy as np
import pandas as pd

from klimit.samples import Samples
from klimit.testsystems import PolicyTables, random_tables

BASE, REWARDS = random_tables(80, 12, n_levels=4, seed=5)


def frame(samples: Samples, **columns: object) -> pd.DataFrame:
    """One row a completion."""
    found = {
        "prompt_id": np.repeat(samples.prompt_ids, samples.counts),
        "sample_id": np.concatenate([np.arange(count) for count in samples.counts]),
        "reward": samples.reward(),
        "logprob": samples.logprob,
        "ref_logprob": samples.ref_logprob,
        **columns,
    }
    return pd.DataFrame({name: column for name, column in found.items() if column is not None})


@cache
def _drawn(strength: float, beta: float, n_prompts: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    system = PolicyTables.noisy(BASE, REWARDS, beta, strength, seed=1)
    policy, base = system.sample(n_prompts, 24, 48, seed=3)
    return frame(policy), frame(base).drop(columns="logprob")


def policy_table(*, strength: float = 1.0, beta: float = 0.5, n_prompts: int = 60) -> pd.DataFrame:
    """A tilted policy with noise that the reward did not ask for; 24 completions of each prompt."""
    return _drawn(strength, beta, n_prompts)[0].copy()


def base_table(*, n_prompts: int = 60) -> pd.DataFrame:
    """The base policy on the same prompts, 48 completions of each; without log-probabilities."""
    return _drawn(1.0, 0.5, n_prompts)[1].copy()


def by_token(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """The same with log-probabilities as lists, one number for each of 1 to 5 tokens."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 6, size=len(table))
    shares = [rng.dirichlet(np.ones(count)) for count in tokens]
    lists = {
        name: [list(map(float, total * share)) for total, share in zip(table[name], shares, strict=True)]
        for name in ("logprob", "ref_logprob")
    }
    return table.assign(**lists)
