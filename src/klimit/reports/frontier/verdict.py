"""The sentence that comes first, and the action that comes last."""

from __future__ import annotations

import numpy as np

from klimit.limit.result import Point
from klimit.reports.frontier.findings import Findings
from klimit.reports.numbers import kl_text, nats, percent, percent_interval, plural

_AS_GOOD = 0.95  # efficiency from which best-of-N leaves little to training at its KL
_LITTLE = 0.1  # of best-of-N's gain: not worth a training run
_WIDE = 0.25  # half-width over gain from which an interval is too wide to act on
# Four times the completions move the horizon of Gaussian rewards by about half a nat.
_NATS_PER_QUADRUPLE = 0.5
_MOST_TIMES = 64
_FEW_PROMPTS = 20


def verdict(findings: Findings) -> list[str]:
    """One or two sentences: the limit at one budget, and what best-of-N gets of the limit."""
    limit, point, form = findings.limit, findings.main, findings.numbers
    if limit.rewards.scale == 0.0:
        return [
            "Every completion of a prompt has the same reward: the samples show nothing to gain at any KL."
        ]
    base = limit.base_reward
    budget = nats(point.kl) + (" on every prompt" if limit.budget == "per-prompt" else "")
    if point.status == "estimate":
        text = (
            f"At {budget} any method can reach at most {form.reward(base + point.gain)} "
            f"({form.estimate(point.gain, point.gain_low, point.gain_high)})."
        )
    else:
        text = f"At {budget} the most that any method can reach {_between(point, findings)}: " + (
            f"the samples show the limit up to {nats(limit.horizon)} only."
            if limit.horizon > 0
            else "these samples are too few for an estimate at any KL."
        )
    return [line for line in (text, best_of_n_sentence(findings)) if line]


def best_of_n_sentence(findings: Findings) -> str:
    """What best-of-N gets, and which share of the limit that is; empty where no N can be judged."""
    best, i, form = findings.best, findings.pick, findings.numbers
    if i is None:
        return ""
    text = f"Best-of-{best.n[i]:g} gets {form.gain(best.gain[i])} for {nats(best.kl[i])}"
    low, high = best.efficiency_low[i], best.efficiency_high[i]
    if np.isfinite(best.efficiency[i]):
        return f"{text}: {percent_interval(best.efficiency[i], low, high)} of the limit there."
    if np.isfinite(low) and low > 0:
        return f"{text}: at least {percent(low)} of the limit there."
    return f"{text}."


def action(findings: Findings) -> str:
    """The one thing to do next."""
    limit = findings.limit
    if limit.rewards.scale == 0.0:
        return "check the reward: it never varies within a prompt; if it is right, sample more completions."
    if limit.horizon <= 0:
        return _more_completions(findings, at_least=16)
    if findings.asked and max(point.kl for point in findings.points) > limit.horizon:
        return _reach(findings, max(point.kl for point in findings.points))
    if limit.inference.target == "population" and limit.n_prompts < _FEW_PROMPTS:
        return _more_prompts(limit.n_prompts)
    point = findings.main
    share = (point.gain_high - point.gain_low) / 2 / point.gain if point.gain > 0 else np.inf
    if share > _WIDE:
        times = f"{int(np.ceil((share / 0.1) ** 2))}" if share < 1 else "over 100"
        return (
            f"sample more prompts: the interval is +-{percent(share)} of the gain; "
            f"{times} times as many make it +-10%."
        )
    return _decide(findings)


def _between(point: Point, findings: Findings) -> str:
    base, form = findings.limit.base_reward, findings.numbers
    low, high = point.gain_low, point.gain_high
    if np.isfinite(high):
        rewards = f"{form.reward(base + low)} and {form.reward(base + high)}"
        return f"lies between {rewards} ({form.gain(low)} to {form.gain(high)})"
    return f"is at least {form.reward(base + low)} ({form.gain(low)})"


def _decide(findings: Findings) -> str:
    best, i, form = findings.best, findings.pick, findings.numbers
    if i is None or not np.isfinite(best.efficiency[i]):
        return "train, or sample more completions a prompt: best-of-N cannot be judged within this budget."
    efficiency = float(best.efficiency[i])
    left, most = (max(best.gain[i] * (1 / share - 1), 0.0) for share in (efficiency, best.efficiency_low[i]))
    if efficiency >= _AS_GOOD:
        return (
            f"use best-of-N: at the KL of N = {best.n[i]:g} training can add at most {form.gain(most)} reward; "
            + _beyond(findings, float(best.gain[i]))
        )
    return (
        f"training may pay: at the KL of best-of-{best.n[i]:g} ({nats(best.kl[i])}) it can add "
        f"{form.gain(left)} reward, at most {form.gain(most)}."
    )


def _beyond(findings: Findings, gain: float) -> str:
    """What more KL than that of best-of-N may buy: training is not confined to it."""
    last = max(findings.points, key=lambda point: point.kl)
    if not np.isfinite(last.gain_high):
        return "what more KL may buy, these samples cannot say."
    more = max(last.gain_high - gain, 0.0)
    if more <= _LITTLE * gain:
        return "more KL buys little, so train only to save the draws."
    known = "" if last.status == "estimate" else ": these samples cannot say"
    return f"{nats(last.kl)} may buy up to {findings.numbers.gain(more)} more{known}."


def _reach(findings: Findings, kl: float) -> str:
    limit = findings.limit
    if limit.horizon_reason == "reach":
        return (
            f"stay at {nats(limit.horizon)} or less: beyond it the best rewards seen are used up; "
            "only more completions can show better ones."
        )
    times = 4 ** ((kl - limit.horizon) / _NATS_PER_QUADRUPLE)
    if times > _MOST_TIMES:
        return (
            f"ask for budgets near {kl_text(limit.horizon)}: the limit at {nats(kl)} would take over "
            f"{_MOST_TIMES} times as many completions a prompt."
        )
    factor = max(2, int(np.ceil(times)))
    now = int(np.median(limit.rewards.counts))
    return (
        f"sample about {factor} times as many completions a prompt ({factor * now:,}) "
        f"to see the limit at {nats(kl)}."
    )


def _more_prompts(now: int) -> str:
    return f"sample more prompts, {_FEW_PROMPTS} at least ({now} now)."


def _more_completions(findings: Findings, *, at_least: int) -> str:
    counts, n_prompts = findings.limit.rewards.counts, findings.limit.n_prompts
    if n_prompts < _FEW_PROMPTS:
        return _more_prompts(n_prompts)
    if counts.min() < at_least:
        few = int((counts < at_least).sum())
        whom = "every prompt" if few == len(counts) else f"the {plural(few, 'prompt')} with fewer"
        return f"sample at least {at_least} completions for {whom} (the fewest now: {int(counts.min())})."
    return f"sample about 4 times as many completions a prompt ({4 * int(np.median(counts)):,})."


def title(findings: Findings) -> str:
    """The verdict for a figure: two short lines."""
    point, best, i, form = findings.main, findings.best, findings.pick, findings.numbers
    if point.status != "estimate":
        low, high = form.gain(point.gain_low), form.gain(point.gain_high)
        bounds = f"{low} to {high}" if np.isfinite(point.gain_high) else f"{low} or more"
        return f"The most that any method can gain\nat {nats(point.kl)}: {bounds}"
    first = f"Any method gains at most {form.gain(point.gain)} at {nats(point.kl)}"
    if i is None or not np.isfinite(best.efficiency[i]):
        return first
    return f"{first};\nbest-of-{best.n[i]:g} gets {percent(best.efficiency[i])} of the limit at its KL"
