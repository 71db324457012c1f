"""The one thing to do about a proxy: the first rule that the intervals support."""

from __future__ import annotations

import numpy as np

from klimit.reports.hacking.findings import HackingFindings, rounded_up
from klimit.reports.numbers import RewardFormat, kl_text, nats

_FEW_PROMPTS = 20
_WORTH = 1.5  # times the labels or prompts there are, from which more of them are asked for


def action(findings: HackingFindings) -> str:
    """What to do next."""
    return next(said for said in (rule(findings) for rule in _RULES) if said is not None)


def _few_prompts(findings: HackingFindings) -> str | None:
    count = findings.found.samples.n_prompts
    return f"score more prompts, {_FEW_PROMPTS} at least ({count} now)." if count < _FEW_PROMPTS else None


def _no_horizon(findings: HackingFindings) -> str | None:
    if findings.turn != "unknown":
        return None
    more = _more(findings, 4.0, "say")
    if not findings.selects:
        return f"{more}: there is nothing yet to act on."
    return (
        f"{more}; until then go no further than best-of-{findings.found.best_of_n.best.setting.estimate:g}."
    )


def _harmful(findings: HackingFindings) -> str | None:
    if findings.turn != "start":
        return None
    proxy = findings.found.proxy_name
    if findings.selects:
        n = findings.found.best_of_n.best.setting.estimate
        return (
            f"do not train on the values of {proxy}. Best-of-{n:g} by it does help, and so may training on its rank "
            "within prompts."
        )
    if findings.found.threshold.high <= 0 and findings.found.best_of_n.gold_gain_high[-1] < 0:
        return (
            f"do not optimise this proxy. If lower values of {proxy} are better, change its sign "
            "(--lower-is-better turns both columns)."
        )
    return f"do not optimise this proxy: nothing shows that {proxy} helps {findings.found.gold_name}."


def _helpless(findings: HackingFindings) -> str | None:
    if findings.helps:
        return None
    if findings.selects:
        n = findings.found.best_of_n.best.setting.estimate
        return f"use best-of-{n:g} by it, which does help, rather than train on it."
    return f"do not optimise this proxy yet: {_more(findings, 4.0, 'say')} to see whether it helps."


def _select(findings: HackingFindings) -> str | None:
    if not findings.selection_better:
        return None
    found = findings.found
    best = found.best_of_n.best
    least = findings.gains.number(best.gold_gain.estimate - found.best.gold_gain.estimate)
    return (
        f"use best-of-{best.setting.estimate:g} by {found.proxy_name}, or train on its rank within prompts: "
        f"{least} more {found.gold_name} than the best tilt by its values."
    )


def _stop(findings: HackingFindings) -> str | None:
    if not findings.turns:
        return None
    found = findings.found
    safe = (
        found.threshold.low
        if findings.turn == "likely" and found.threshold.low > 0
        else found.threshold.estimate
    )
    text = f"stop at {nats(safe)}{_settings(findings, safe)}"
    times = findings.times_as_many
    if times < _WORTH:
        return f"{text}: beyond {kl_text(found.threshold.high)} nats {found.gold_name} falls for certain."
    more = _more(findings, times, "at least" if findings.turn == "likely" else "about")
    return f"{text}, and {more} to know the threshold to a quarter."


def _go_on(findings: HackingFindings) -> str | None:
    found = findings.found
    horizon = found.horizon
    safe = found.threshold.low if 0 < found.threshold.low < horizon else horizon
    now = int(np.median(found.samples.counts))
    return (
        f"optimise up to {nats(safe)}{_settings(findings, safe)}; score {4 * now:,} completions a prompt (now {now:,}) "
        "to see what lies beyond."
    )


_RULES = (_few_prompts, _no_horizon, _harmful, _helpless, _select, _stop, _go_on)


def _settings(findings: HackingFindings, kl: float) -> str:
    """The beta that goes with a KL, and the best N with its own KL."""
    found = findings.found
    inside = np.isfinite(found.beta) & (found.kl > 0)
    text = ""
    if inside.any():
        beta = float(np.exp(np.interp(np.log(kl), np.log(found.kl[inside]), np.log(found.beta[inside]))))
        text += f" (beta {RewardFormat.fitting(beta).price(beta)})"
    if findings.selects:
        best = found.best_of_n.best
        text += f" or at best-of-{best.setting.estimate:g} ({nats(best.kl.estimate)})"
    return text


def _more(findings: HackingFindings, times: float, about: str) -> str:
    """Ask for more labels where some are missing, else for more prompts."""
    found = findings.found
    if not findings.partly_labelled:
        wanted = rounded_up(found.samples.n_prompts * times)
        return f"score {about} {wanted:,} prompts ({found.samples.n_prompts:,} now)"
    wanted = rounded_up(found.n_labels * times)
    if wanted >= findings.n_completions:
        return f"label all {findings.n_completions:,} completions ({found.n_labels:,} now)"
    return f"label {about} {wanted:,} completions ({found.n_labels:,} now)"
