"""The limit, from samples of the base model: the most reward that any method can buy at each KL budget."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit import closed_form
from klimit.limit.average import AverageBudget
from klimit.limit.blocks import MIN_COMPLETIONS as MIN_COMPLETIONS_RECOMPUTED
from klimit.limit.bracket import Bracket, best_of_n_steps
from klimit.limit.closed_form import ClosedForm
from klimit.limit.dual import Array, Grid
from klimit.limit.estimator import Estimator, Inference, Target
from klimit.limit.grid_moments import GridMoments
from klimit.limit.horizon import horizon_and_reason
from klimit.limit.kernels import MIN_COMPLETIONS, deals_for, grid, prompt_statistics
from klimit.limit.levels import Budget
from klimit.limit.notes import warn_about
from klimit.limit.options import BudgetName, EngineName, check_budgets, check_number, check_options
from klimit.limit.per_prompt import MIN_COMPLETIONS as MIN_COMPLETIONS_PER_PROMPT
from klimit.limit.per_prompt import PerPromptBudget
from klimit.limit.preparation import T_LOW, Rewards, octaves_needed, prepare
from klimit.limit.recomputed import RecomputedPerPromptBudget, recomputed_budget
from klimit.limit.result import Frontier, estimates_at
from klimit.limit.summarised import only_in_memory, summary_of
from klimit.rewards.transforms import Transform, parse_transform


def frontier(
    samples: Any,
    *,
    reward: str | None = None,
    budget: BudgetName = "average",
    level: float = 0.95,
    seed: int = 0,
    target: Target = "population",
    reward_max: float | None = None,
    kl: ArrayLike | None = None,
    transform: str | Transform = "identity",
    estimator: Estimator = "extrapolated",
    prompt: str | list[str] | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
    engine: EngineName = "auto",
) -> Frontier:
    """Estimate the most reward that any policy can have at each KL budget from the base policy.

    The limit at budget ``kappa`` is the largest ``E[r]`` over policies with ``KL(pi || pi0) <= kappa``, in nats per
    completion. It is reached by tilting the base policy, ``pi0 exp(r / beta) / Z``, and estimated from base samples
    by its dual, ``min over t of (kappa + E_x log E exp(t r)) / t - E r``, with the bias of few samples a prompt
    removed and the bias that may remain carried in the interval (:mod:`klimit.limit.estimator`).

    Args:
        samples: completions drawn from the base policy, with rewards: :class:`~klimit.Samples`, a path, a data
            frame, or a 2-D array ``(n_prompts, n_completions)``.
        reward: the reward column, where there are several.
        budget: ``"average"``: ``E_x KL_x <= kappa``; ``"per-prompt"``: ``KL_x <= kappa`` for every prompt.
        level: of the intervals, pointwise.
        seed: of the random blocks of samples.
        target: intervals for the ``"population"`` the prompts were drawn from, or for ``"these-prompts"``.
        reward_max: the largest reward there is, if known; 0/1 rewards have 1.
        kl: budgets of the arrays, in nats; chosen from the data by default.
        transform: what is made of the reward before anything else, the same for the limit and all that is measured
            against it: ``"identity"``; ``"clipped:LOW,HIGH"``; or, in the light of the prompt's base samples,
            ``"standardised"``, ``"rank"`` (win rate against the base policy), ``"log-sigmoid-centred"``, with the bias
            of so few base samples removed as well (:mod:`klimit.limit.recomputed`). The limit of ranks without ties
            is known (:mod:`klimit.limit.closed_form`).
        estimator: ``"extrapolated"`` unless estimators are to be compared.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows, when reading.
        lower_is_better: rewards are costs, when reading.
        engine: how files are read: ``"memory"``, ``"stream"`` (in parts, for files larger than memory; see
            :func:`klimit.summarise` for what is then kept) or ``"auto"``, which says what it chose.

    Returns:
        The limit with its horizon, intervals and diagnostics.

    Raises:
        InputError: the samples or an option cannot be used.

    Warns:
        KlimitWarning: the samples cannot support part of the answer; the rest is given.
    """
    check_options(budget=budget, level=level, target=target, estimator=estimator, seed=seed)
    chosen = parse_transform(transform)
    from klimit.streams.engines import open_samples

    data = open_samples(
        samples,
        engine=engine,
        reward=reward,
        prompt=prompt,
        where=where,
        lower_is_better=lower_is_better,
        seed=seed,
        whole=only_in_memory(transform=chosen, budget=budget, estimator=estimator),
    )
    name = data.reward_name(reward)
    summary = summary_of(data, transform=chosen, budget=budget, estimator=estimator, seed=seed)
    rewards = prepare(data, name, transform=chosen, seed=seed) if summary is None else summary.rewards
    largest = _largest_reward(rewards, reward_max, name)
    inference = Inference(name=estimator, target=target, level=level)

    def build(kind: BudgetName, outer: Frontier | None) -> Frontier:
        limit: Budget | None
        if summary is None:
            limit = make_budget(rewards, budget=kind, estimator=estimator, seed=seed)
        else:
            limit = summary.engine(estimator)
        trusted, reason = _horizon(limit, rewards)
        return Frontier(
            samples=data,
            reward_name=name,
            rewards=rewards,
            budget=kind,
            engine=limit,
            inference=inference,
            horizon=trusted,
            horizon_reason=reason,
            reward_max=largest,
            bracket=_bracket(rewards, limit, inference, trusted, largest),
            outer=outer,
            seed=seed,
            kl=_budgets(kl, rewards, trusted),
        )

    # An average budget allows whatever a per-prompt budget allows, and more: it bounds the other's bracket.
    average = build("average", None)
    result = average if budget == "average" else build("per-prompt", average)
    warn_about(result)
    return result


def make_budget(rewards: Rewards, *, budget: str, estimator: Estimator, seed: int) -> Budget | None:
    """The engine for a budget, or None where the samples cannot support any estimate."""
    smallest = rewards.counts.min()
    if rewards.scale == 0.0:
        return None
    if rewards.known:
        return ClosedForm(rewards.n_prompts, rewards.scale)
    if rewards.transform.estimated:
        if smallest < MIN_COMPLETIONS_RECOMPUTED:
            return None
        if budget == "per-prompt":
            return RecomputedPerPromptBudget(rewards, seed)
        return recomputed_budget(rewards, estimator=estimator, seed=seed)
    if budget == "per-prompt":
        return PerPromptBudget(rewards, seed) if smallest >= MIN_COMPLETIONS_PER_PROMPT else None
    if smallest < MIN_COMPLETIONS:
        return None
    octaves = octaves_needed(rewards)
    statistics = prompt_statistics(
        rewards.values,
        rewards.offsets,
        t_low=T_LOW / rewards.scale,
        octaves=octaves,
        seed=seed,
        deals=deals_for(rewards.offsets),
    )
    scaled = Grid(grid(T_LOW, octaves))
    variances = rewards.variance / rewards.scale / rewards.scale
    return AverageBudget(
        moments=GridMoments.of(statistics, rewards.counts, variances, scaled),
        statistics=statistics,
        grid=scaled,
        estimator=estimator,
    )


def _horizon(engine: Budget | None, rewards: Rewards) -> tuple[float, str]:
    if isinstance(engine, ClosedForm):
        return engine.reach[1], "known"
    return horizon_and_reason(engine, rewards.counts)


def _largest_reward(rewards: Rewards, reward_max: float | None, name: str) -> float | None:
    transform = rewards.transform
    if transform.estimated:
        if reward_max is not None:
            raise InputError(
                f"reward_max={reward_max!r}: it has no use with transform={transform.name!r}, in which the largest "
                "reward is another for every prompt; leave it out"
            )
        return None
    if reward_max is None:
        largest = float(rewards.top.max())
        if largest == transform.top:
            return transform.top
        return 1.0 if (rewards.lowest, largest) == (0.0, 1.0) and rewards.binary else None
    reward_max = check_number("reward_max", reward_max, positive=False)
    seen = float(rewards.top.max())
    if reward_max < seen:
        raise InputError(
            f"reward_max={reward_max:g} is below a reward in {name!r}: {seen:g}; give the true maximum"
        )
    return min(reward_max, transform.top)


def _bracket(
    rewards: Rewards, engine: Budget | None, inference: Inference, horizon: float, largest: float | None
) -> Bracket:
    cap = float("inf")
    ceiling = rewards.transform.top if largest is None else largest
    if ceiling < np.inf:
        # The base mean is estimated too, whatever the target.
        error = rewards.mean_error(given=inference.target == "these-prompts")
        cap = ceiling - float(rewards.mean.mean()) + inference.quantile(rewards.n_prompts) * error
    steps = best_of_n_steps(rewards, inference)
    if engine is None or horizon <= 0:
        return Bracket(0.0, 0.0, 0.0, float("inf"), cap, *steps)
    edge = np.array([horizon])
    estimate = estimates_at(engine, inference, edge)
    unit = rewards.scale
    return Bracket(
        horizon=horizon,
        low=max(0.0, float(estimate.low[0]) * unit),
        high=min(cap, float(estimate.high[0]) * unit),
        # The tangent is a dual bound where one t is shared; prompts with a t each have only the average limit.
        slope=float("inf") if isinstance(engine, PerPromptBudget) else float(engine.beta(edge)[0]) * unit,
        cap=cap,
        steps_kl=steps[0],
        steps_gain=steps[1],
    )


def _budgets(kl: ArrayLike | None, rewards: Rewards, horizon: float) -> Array:
    """Budgets of the arrays: dense up to the horizon (in the root of KL), then on into the bracket."""
    if kl is not None:
        return check_budgets(kl)
    if rewards.known:
        return np.linspace(0, np.sqrt(closed_form.WORTH_SHOWING), 65)[1:] ** 2
    smallest = float(rewards.counts.min())
    end = max(1.6 * horizon, np.log(smallest) - (smallest - 1) / smallest, horizon + 0.25)
    if horizon <= 0:
        return np.linspace(0, np.sqrt(end), 25)[1:] ** 2
    inside = np.linspace(0, np.sqrt(horizon), 49)[1:] ** 2
    inside[-1] = horizon
    return np.concatenate([inside, np.linspace(horizon, end, 17)[1:]])
