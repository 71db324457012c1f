"""Where the limit stops growing: the best reward that the base policy produces, and the KL of always giving it.

``kappa_max = E_x[-log pi0(r = max_x)]``. Samples show it only where a prompt's best reward is an atom that was hit
repeatedly: a best reward seen once may have better ones behind it, and a prompt without a single success may
have successes too rare to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from klimit.limit.dual import Array
from klimit.limit.preparation import Rewards


@dataclass(frozen=True, eq=False)
class Saturation:
    """The saturation of the average-budget limit, as far as the samples show it.

    Attributes:
        gain: mean over prompts of the best reward seen, less the base mean: a lower bound where ``status`` is not
            ``"estimate"``.
        kl: nats per completion of always giving the best reward seen (forward KL, ``KL(pi || pi0)``), with the
            first-order bias of ``-log`` of a frequency removed.
        standard_error: of ``kl``, over prompts.
        status: ``"estimate"`` where every prompt's best reward was seen at least twice and, if ``reward_max`` is
            known, equals it; else ``"unknown"``.
        seen_once: indices of the prompts whose best reward was seen once.
        below_max: indices of the prompts whose best reward stays below ``reward_max``, where that is known.
    """

    gain: float
    kl: float
    standard_error: float
    status: Literal["estimate", "unknown"]
    seen_once: NDArray[np.int64]
    below_max: NDArray[np.int64]


def saturation(rewards: Rewards, reward_max: float | None) -> Saturation:
    """Estimate the saturation from the best reward of each prompt."""
    kl = prompt_saturation(rewards)
    once = np.flatnonzero(rewards.at_top == 1)
    below = (
        np.flatnonzero(rewards.top < reward_max) if reward_max is not None else np.zeros(0, dtype=np.int64)
    )
    known = not (len(once) or len(below)) and (reward_max is not None or not rewards.constant.any())
    error = float(kl.std(ddof=1) / np.sqrt(len(kl))) if len(kl) > 1 else float("inf")
    return Saturation(
        gain=float((rewards.top - rewards.mean).mean()),
        kl=float(kl.mean()),
        standard_error=error,
        status="estimate" if known else "unknown",
        seen_once=once,
        below_max=below,
    )


def prompt_saturation(rewards: Rewards) -> Array:
    """``-log pi0(r = max)`` of each prompt, the first-order bias of ``-log`` of a frequency removed, nats, ``(P,)``."""
    share = rewards.at_top / rewards.counts
    return np.asarray(-np.log(share) - (1 - share) / (2 * rewards.at_top))
