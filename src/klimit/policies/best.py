"""Best-of-N on the plane of KL and gain: draw N completions, answer with the one of most reward."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from klimit.limit.options import EngineName
from klimit.policies.assemble import assemble, warn_of_limits
from klimit.policies.curve import PolicyCurve, Target
from klimit.policies.efficiency import AverageLimit
from klimit.policies.inputs import check_level, choose_sizes, resolve_limit, sorted_already
from klimit.policies.summarised import only_in_memory, summarised_values
from klimit.policies.ties import BIAS_LEFT, untied_kl
from klimit.policies.transformed import transformed_values
from klimit.rewards.transforms import Transform, parse_transform


def best_of_n(
    samples: Any,
    *,
    n: ArrayLike | None = None,
    reward: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    target: Target = "population",
    limit: AverageLimit | None = None,
    efficiency: bool = True,
    transform: str | Transform = "identity",
    prompt: str | list[str] | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
    engine: EngineName = "auto",
) -> PolicyCurve:
    """Gain, KL, win rate and efficiency of best-of-N, from the base policy's samples alone.

    The gain is the U-statistic over all N-subsets of a prompt's completions, unbiased for every N up to their
    number. The KL, in nats per completion, is exact, log N - (N - 1)/N, where no two completions of a prompt
    have the same reward; where some tie (broken blindly), it is less, and estimated with its bias corrected
    (:mod:`klimit.policies.ties`); its interval carries the bias that is left. Prompts weigh the same.

    With a ``transform`` the gain is in the transformed reward: by ``"rank"`` it is the win rate against the base
    policy less a half, unbiased. ``"standardised"`` and ``"log-sigmoid-centred"`` are made from the samples
    themselves, which biases the gain by ``O(1/n)``: by 1 to 5 per cent at 32 completions a prompt on test systems. From
    32 completions on that is removed (:func:`klimit.limit.blocks.corrected_best_gains`), and the interval carries what
    may be left, which was below 1 per cent there.

    Args:
        samples: completions drawn from the base policy, with rewards: :class:`~klimit.Samples`, a path, a
            data frame, or a 2-D array ``(n_prompts, n_completions)``.
        n: one N or several; by default powers of two up to the smallest prompt's number of completions.
        reward: the reward column; needed where there are several.
        level: nominal cover of the intervals.
        seed: for the limit, where it is computed here, and the bias of an estimated transform.
        target: "population": the intervals are for the population that the prompts were drawn from;
            "these-prompts": for the given prompts, were they sampled again.
        limit: the average-budget frontier of the same samples, for the efficiency; computed if not given.
        efficiency: False to leave the efficiency out (nan), and with it the limit.
        transform: of the reward, as for :func:`klimit.frontier`.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows, when reading.
        lower_is_better: rewards are costs, when reading.
        engine: how files are read, as for :func:`klimit.frontier`.

    Returns:
        The curve; its ``n`` are the values of N in the order given.

    Raises:
        InputError: an N is above the smallest prompt's number of completions (the largest possible is named),
            or not a whole number; level or target is none; the samples cannot be read.

    Warns:
        KlimitWarning: one prompt, prompts with one completion, or constant rewards.
    """
    check_level(level, target)
    chosen = parse_transform(transform)
    from klimit.streams.engines import open_samples

    data = open_samples(
        samples,
        engine=engine,
        reward=reward,
        prompt=prompt,
        where=where,
        lower_is_better=lower_is_better,
        n=n,
        seed=seed,
        whole=only_in_memory(chosen, target),
    )
    name = data.reward_name(reward)
    sizes = choose_sizes(data, n)
    frontier = resolve_limit(
        data, name, limit, wanted=efficiency, level=level, seed=seed, target=target, transform=chosen
    )
    values = summarised_values(data, sizes, chosen, target) or transformed_values(
        chosen,
        data.reward(name),
        data.offsets,
        sizes,
        within=target == "these-prompts",
        seed=seed,
        known=sorted_already(frontier),
    )
    warn_of_limits(
        data, target, constant=max(sizes) > 1 and not values.gain.any(), warned=frontier is not None
    )
    draws = np.array(sizes, dtype=np.float64)
    # The bias left is at most about a third of the last correction at N = n, and falls with N / n.
    share = draws / int(data.counts.min())
    untied = np.array([untied_kl(size) for size in sizes])
    last = np.abs((values.kl - values.kl_rough).mean(axis=0))
    return assemble(
        "best-of-n",
        {"n": np.array(sizes)},
        values,
        samples=data,
        reward=name,
        kl_bound=untied,
        kl_bias=np.maximum(share * last, BIAS_LEFT * untied * values.tied),
        draws=draws,
        limit=frontier,
        level=level,
        target=target,
        transform=chosen.name,
    )
