"""What an audit says first: KL, gain, where the KL went, and whether best-of-N does better."""

from __future__ import annotations

from klimit.reports.audit.findings import AuditFindings
from klimit.reports.numbers import percent
from klimit.reports.values import UNKNOWN, share

_VAGUE = 0.01  # of the KL: a lower bound on the least KL that says nothing


def verdict(findings: AuditFindings) -> list[str]:
    """Sentences, the KL and the gain first; each begins a line."""
    lines = [kl_sentence(findings), gain_sentence(findings), parts_line(findings), rival_sentence(findings)]
    return [line for line in lines if line]


def kl_sentence(findings: AuditFindings) -> str:
    """The policy's name and its KL."""
    audit = findings.audit
    if audit.kl is None:
        return f"{audit.name}: KL unknown, for want of log-probabilities."
    if findings.same_policy:
        return f"{audit.name}: KL 0: every completion is as likely under the policy as under its reference."
    known = [findings.estimator]
    if audit.noise_floor is not None:
        known.append(f"noise floor {findings.nats.short(audit.noise_floor)}")
    text = f"{audit.name}: KL {findings.nats.full(audit.kl, 'nats per completion')} ({'; '.join(known)})"
    return text if findings.has_kl else f"{text}, which cannot be told from 0"


def gain_sentence(findings: AuditFindings) -> str:
    """The gain, its share of the limit, and the least KL that it needs."""
    audit = findings.audit
    gain = f"{'Loss' if audit.gain.high < 0 else 'Gain'} {findings.gains.full(audit.gain)}"
    return f"{gain}{_share_of_the_limit(findings)}.{_least(findings)}"


def parts_line(findings: AuditFindings) -> str:
    """Where the KL went, and how many completions are cut."""
    parts = " | ".join(f"{name} {findings.nats.part(value)}" for name, value in findings.told_apart.items())
    cut = findings.audit.truncated
    truncated = "" if cut is None else f"{percent(cut.estimate)} of completions truncated"
    if not parts:
        return f"{truncated}." if truncated else ""
    return f"KL: {parts}" + (f"; {truncated}" if truncated else "")


def rival_sentence(findings: AuditFindings) -> str:
    """Best-of-N, where it does better, or as well for less KL."""
    rival = findings.rival
    if rival is None:
        return ""
    does = "does at least as well" if not rival.better else "does better" if findings.has_kl else "gains more"
    return (
        f"Best-of-{rival.n} {does}: {findings.gains.number(rival.gain)} "
        f"at {findings.nats.number(rival.kl)} nats."
    )


def _share_of_the_limit(findings: AuditFindings) -> str:
    audit = findings.audit
    if audit.gain.low <= 0 <= audit.gain.high:
        return ", which cannot be told from 0"
    if audit.efficiency is None or audit.gain.high < 0:
        return ""
    part = share(audit.efficiency)
    if part == UNKNOWN:
        return ", an unknown part of the limit"
    where = " at that KL" if audit.efficiency.known else ""
    return f": {part} of the limit{where}"


def _least(findings: AuditFindings) -> str:
    audit = findings.audit
    if audit.gain.low <= 0 <= audit.gain.high:
        return ""
    least, nats = audit.least_kl, findings.nats
    what = "The same loss" if audit.gain.high < 0 else "The same gain"
    if audit.kl is None:
        return f" It needs {nats.full(least, 'nats')}" + (", or more." if least.known else ".")
    vague = not least.known and least.low <= _VAGUE * audit.kl.estimate
    if not findings.has_kl or vague:
        return ""
    only = "only " if audit.wasted_kl is not None and audit.wasted_kl.low > 0 and least.known else ""
    # Beyond what the base samples show, the upper end of the range is no more than the policy's own KL.
    size = nats.short(least) if least.known else f"at least {nats.number(least.low)}"
    return f" {what} needs {only}{size} nats."
