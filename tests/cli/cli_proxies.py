"""Tables of samples scored by gold and proxies, drawn from worlds whose truth is known."""

from functools import cache

import numpy as np
import pandas as pd

from klimit.samples import Samples
from klimit.testsystems import ProxyTables, random_ensemble


def frame(samples: Samples) -> pd.DataFrame:
    """One row a completion; gold null where it has no label."""
    return pd.DataFrame(
        {
            "prompt_id": np.repeat(samples.prompt_ids, samples.counts),
            "sample_id": np.concatenate([np.arange(count) for count in samples.counts]),
            **samples.rewards,
        }
    )


@cache
def _hacked(n_prompts: int, n_completions: int, labelled: float, kind: str) -> pd.DataFrame:
    world = getattr(ProxyTables, kind)(seed=1)
    return frame(world.sample(n_prompts, n_completions, seed=2, labelled=labelled))


def proxy_table(
    n_prompts: int = 60, n_completions: int = 32, *, labelled: float = 1.0, kind: str = "heavy_error"
) -> pd.DataFrame:
    """Columns ``gold`` and ``proxy``: a world of :class:`ProxyTables`."""
    return _hacked(n_prompts, n_completions, labelled, kind).copy()


@cache
def _members(n_prompts: int, n_completions: int, members: int, shared: float) -> pd.DataFrame:
    world = random_ensemble(80, 24, members, 1.5, shared, seed=4)
    return frame(world.sample(n_prompts, n_completions, seed=3))


def members_table(
    n_prompts: int = 60, n_completions: int = 32, *, members: int = 4, shared: float = 0.4
) -> pd.DataFrame:
    """Columns ``gold`` and ``proxy_1`` ...: proxies whose errors have a shared part."""
    return _members(n_prompts, n_completions, members, shared).copy()
