"""Small budgets: the square-root law of prior work and the next term, from moments within prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from klimit.limit.dual import Array
from klimit.limit.preparation import Rewards


def square_root_law(rewards: Rewards, kl: ArrayLike, *, per_prompt: bool = False) -> Array:
    """``sqrt(2 V kappa)``: the leading term of the limit, ``V`` the reward's variance within a prompt.

    Average budget: ``V`` is averaged over prompts; per-prompt budget: the law itself is. As a *bound*, the law
    needs the sub-Gaussian variance proxy in place of ``V``, which samples cannot give.
    """
    budget = np.asarray(kl, dtype=np.float64)
    if per_prompt:
        return np.asarray(np.sqrt(2 * budget) * np.sqrt(rewards.variance).mean())
    return np.asarray(np.sqrt(2 * budget) * rewards.scale)


def next_term(rewards: Rewards, kl: ArrayLike, *, per_prompt: bool = False) -> Array:
    """The square-root law and the next term, ``K3 / (3 V) kappa``, ``K3`` the third cumulant within a prompt."""
    budget = np.asarray(kl, dtype=np.float64)
    if per_prompt:
        varying = rewards.variance > 0
        skew = np.divide(rewards.third, rewards.variance, out=np.zeros_like(rewards.third), where=varying)
        slope = skew.mean() / 3
    elif rewards.scale > 0:
        slope = rewards.third.mean() / rewards.scale / rewards.scale / 3
    else:
        slope = 0.0
    return np.asarray(square_root_law(rewards, budget, per_prompt=per_prompt) + slope * budget)
