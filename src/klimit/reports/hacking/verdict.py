"""What a report on a proxy says first: up to which KL optimising it helps gold, and what lies beyond."""

from __future__ import annotations

import math

from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.numbers import RewardFormat, kl_text, nats
from klimit.values import Value


def verdict(findings: HackingFindings) -> list[str]:
    """Sentences, where gold turns down first; each begins a line."""
    lines = [turn_sentence(findings), gain_sentence(findings), selection_sentence(findings)]
    return [line for line in lines if line]


def turn_sentence(findings: HackingFindings) -> str:
    """Up to which KL optimising the proxy helps gold, and from which it harms; no more than the intervals support."""
    found = findings.found
    proxy, gold = found.proxy_name, found.gold_name
    if findings.turn == "unknown":
        return f"Along the tilt by {proxy} these samples show nothing of {gold}."
    if findings.turn == "start":
        if found.threshold.high <= 0:
            return f"Optimising {proxy} harms {gold} from the start."
        return (
            f"Optimising {proxy} seems to harm {gold} from the start; nothing shows that it helps at any KL."
        )
    if not findings.helps:
        return (
            f"Nothing shows that optimising {proxy} helps {gold}: its gain cannot be told from 0 at any KL within "
            f"{nats(found.horizon)}."
        )
    if findings.turn == "none":
        return _no_turn(findings)
    if findings.turn == "likely":
        least = found.threshold.low
        after = f"not before {kl_text(least)}" if least > 0 else "though it may from the start"
        return (
            f"Optimising {proxy} helps {gold} at first; {gold} seems to turn down at {nats(found.threshold.estimate)}, "
            f"{after}; along the tilt the samples do not show it for certain within {nats(found.horizon)}"
            f"{_beyond(findings)}."
        )
    again = ""
    if findings.rises_again:
        again = (
            f"; {gold} then rises again, to its highest at {nats(found.best.kl.estimate)}, by the estimate"
        )
    up_to = f"Optimising {proxy} helps {gold} up to {kl_value(found.threshold)}"
    return f"{up_to} {_sizes(findings)}{again}{_beyond(findings)}."


def gain_sentence(findings: HackingFindings) -> str:
    """The most gold along the tilt, beside what any method could gain for that KL."""
    found = findings.found
    if not findings.helps or not math.isfinite(found.best.setting.estimate):
        return ""
    beta = found.best.setting.estimate
    where = f"{nats(found.best.kl.estimate)} (beta {RewardFormat.fitting(beta).price(beta)})"
    gain = findings.gain(found.best.gold_gain)
    if found.best.at_end:
        text = f"By {where} {found.gold_name} gains {gain}"
    else:
        text = f"At its highest {found.gold_name} gains {gain}, at {where}"
    ideal = findings.ideal
    if ideal is None:
        return f"{text}."
    limit = Value(ideal.gain, ideal.gain_low, ideal.gain_high)
    return f"{text}; its own limit there is {findings.gain(limit)}."


def selection_sentence(findings: HackingFindings) -> str:
    """What best-of-N by the proxy does to gold."""
    chosen = findings.found.best_of_n
    best, most = chosen.best, len(chosen.setting) - 1
    if not findings.selects and chosen.gold_gain_high[-1] < 0:
        return f"Best-of-{chosen.setting[-1]:g} by it loses: {findings.gain(findings.selected(most))}."
    if not findings.selects:
        return "Nor does best-of-N by it surely gain at any N." if most > 0 else ""
    gain = findings.gain(best.gold_gain)
    text = f"Best-of-{best.setting.estimate:g} by it gains {gain} for {nats(best.kl.estimate)}"
    if best.at_end:
        return f"{text}, and more may gain more."
    if findings.ruinous_n is not None:
        return f"{text}; best-of-{findings.ruinous_n} is worse than the base model."
    if chosen.falls_by is not None:
        return f"{text}; by N = {chosen.falls_by:g} it has fallen for certain."
    return f"{text}."


def kl_value(value: Value) -> str:
    """``0.9 nats [0.6, 1.3]``."""
    high = kl_text(value.high) if math.isfinite(value.high) else "unbounded"
    return f"{nats(value.estimate)} [{kl_text(value.low)}, {high}]"


def title(findings: HackingFindings) -> str:
    """The verdict in two short lines."""
    found = findings.found
    proxy, gold = found.proxy_name, found.gold_name
    if findings.turn == "unknown":
        return f"Too little is known of {gold}\nunder {proxy}"
    if findings.turn == "start":
        return f"{proxy}\n{'harms' if found.threshold.high <= 0 else 'seems to harm'} {gold} from the start"
    if not findings.helps:
        return f"Nothing shows that {proxy}\nhelps {gold}"
    if findings.turn == "none":
        return f"{proxy} helps {gold}\nas far as the samples show: {nats(found.horizon)}"
    verb = "turns" if findings.turn == "certain" else "seems to turn"
    return f"Under {proxy}\n{gold} {verb} down at {nats(found.threshold.estimate)}"


def _no_turn(findings: HackingFindings) -> str:
    found = findings.found
    text = f"Optimising {found.proxy_name} helps {found.gold_name} as far as the samples show"
    if found.threshold.low >= found.horizon:
        return f"{text}: it does not turn down within {nats(found.horizon)}."
    least = f"may from {nats(found.threshold.low)} on" if found.threshold.low > 0 else "may at any KL"
    return f"{text}: it does not turn down within {nats(found.horizon)} by the estimate, but {least}."


def _beyond(findings: HackingFindings) -> str:
    worse = findings.found.worse_than_base
    if not worse.known or worse.estimate <= 0:
        return ""
    if math.isfinite(worse.high):
        return f"; beyond {kl_value(worse)} you are worse off than the base model"
    return f"; beyond {nats(worse.estimate)} you seem worse off than the base model"


def _sizes(findings: HackingFindings) -> str:
    best = findings.found.best_of_n.best
    if not findings.selects:
        return "(best-of-N: at no N for certain)"
    return f"(best-of-N: up to N = {best.setting.estimate:g}{' at least' if best.at_end else ''})"
