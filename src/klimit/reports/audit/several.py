"""Several policies, or the checkpoints of one run: which is best, what the others spent, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from klimit.audits.measured import Array, Measured
from klimit.audits.result import Audit, Audits
from klimit.reports.audit.action import first_rule, what_is_missing
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.text import cautions
from klimit.reports.audit.verdict import parts_line, rival_sentence
from klimit.reports.values import Unit, share
from klimit.values import Value

_LAST_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?!.*\d)")
_COUNTED = re.compile(
    r"(?:step|epoch|iter|iteration|ckpt|checkpoint)s?$", re.IGNORECASE
)  # what checkpoints count
_SETTING = re.compile(
    r"(?<![a-z])(?:beta|seed|temp|temperature|lr|rate|kl|of|top|size|version|v|n|k)$", re.IGNORECASE
)
_ROUND = 10  # numbers of checkpoints, where nothing says what they count, are multiples of it
_LITTLE = 0.1  # of the largest gain: what a cheaper policy may lack, at most, and still be the best


def runs(names: Sequence[str]) -> list[list[int]]:
    """The checkpoints of each run, by index: names alike but for a number, which grows; other names are left out.

    The number counts steps, epochs or checkpoints by its name, or is a round one after ``-``, ``_``, ``=`` or a space:
    ``grpo-100``, but no seed, beta or version.
    """
    found: dict[str, list[tuple[float, int]]] = {}
    for i, name in enumerate(names):
        parts = _LAST_NUMBER.split(name, maxsplit=1)
        if len(parts) == 3 and _counts(parts[0], parts[1]):
            found.setdefault(f"{parts[0]}\0{parts[2]}", []).append((float(parts[1]), i))
    chains = [chain for chain in found.values() if len(chain) > 1]
    return [[i for _, i in chain] for chain in chains if chain == sorted(chain)]


def _counts(before: str, number: str) -> bool:
    """Whether a number in a name is that of a checkpoint, by what stands before it."""
    word = before.rstrip("-_=: ")
    if _COUNTED.search(word):
        return True
    return not _SETTING.search(word) and word != before and "." not in number and int(number) % _ROUND == 0


def number_in(name: str) -> str:
    """A checkpoint's number; the whole name where it has none."""
    found = _LAST_NUMBER.search(name)
    return found[1] if found else name


@dataclass(frozen=True, eq=False)
class SeveralFindings:
    """Several accounts, made ready to be told.

    Attributes:
        audits: the accounts.
    """

    audits: Audits

    @cached_property
    def top(self) -> Audit:
        """The policy of most gain."""
        return max(self.audits, key=lambda audit: audit.gain.estimate)

    @cached_property
    def main(self) -> Audit:
        """The policy of least KL that gains as much as the top one, or so little less that its KL is not worth it."""
        top = self.top
        if top.kl is None:
            return top
        spare = max(_LITTLE * top.gain.estimate, 0.0)
        good = [
            audit
            for audit in self.audits
            if audit is not top
            and audit.kl is not None
            and audit.gain.low > 0
            and gain_between(audit, top).high <= spare
            and kl_between(audit, top).low > 0
        ]
        return min(good, key=lambda audit: audit.kl.estimate, default=top)  # type: ignore[union-attr]

    @cached_property
    def best(self) -> AuditFindings:
        """The findings of the main policy."""
        return AuditFindings(self.main)

    @property
    def any_kl(self) -> bool:
        """Whether the KL of any policy is known."""
        return any(audit.kl is not None for audit in self.audits)

    @cached_property
    def run(self) -> list[Audit]:
        """The checkpoints, where all policies are those of one run; else none."""
        chains = runs(self.audits.names)
        return list(self.audits) if [len(chain) for chain in chains] == [len(self.audits)] else []

    @cached_property
    def beyond(self) -> Audit | None:
        """Who spends more KL than the main policy for next to nothing: a run's last checkpoint, or the top policy."""
        other = self.run[-1] if self.run else self.top
        if other is self.main or other.kl is None or not kl_between(self.main, other).low > 0:
            return None
        return other

    @cached_property
    def nats(self) -> Unit:
        """How KLs are written: with the digits of the median one."""
        spent = [audit.kl if self.any_kl else audit.least_kl for audit in self.audits]
        sizes = [abs(kl.estimate) for kl in spent if kl is not None and kl.known]
        middle = float(np.median(sizes)) if sizes else 0.0
        return Unit.fitting(Value(middle, middle, middle))

    @cached_property
    def gains(self) -> Unit:
        """How gains are written: with the digits of the largest one."""
        return Unit.fitting(*(audit.gain for audit in self.audits), signed=True)


def gain_between(first: Audit, second: Audit) -> Value:
    """How much more the second gains, prompt by prompt."""
    return _between(first, second, lambda audit: (audit.prompts.gain, audit.gain))


def kl_between(first: Audit, second: Audit) -> Value:
    """How much more KL the second spends, prompt by prompt; nan where one is not known."""
    return _between(first, second, lambda audit: (audit.prompts.kl, audit.kl))


def _between(first: Audit, second: Audit, of: Callable[[Audit], tuple[Array | None, Value | None]]) -> Value:
    (one, before), (other, after) = of(first), of(second)
    if one is None or other is None or before is None or after is None:
        return Value(float("nan"), -np.inf, np.inf)
    if first.base.prompt_ids.tolist() == second.base.prompt_ids.tolist():
        return Measured.mean(other - one).interval(first.level)
    return Value(after.estimate - before.estimate, after.low - before.high, after.high - before.low)


def several_verdict(findings: SeveralFindings) -> list[str]:
    """The best policy, what the others spent beyond it, and whether best-of-N does better."""
    best, main = findings.best, findings.main
    lines = [
        _best_sentence(findings),
        _trend(findings),
        _overspent(findings),
        f"{main.name}: {parts_line(best)}" if parts_line(best) else "",
        rival_sentence(best),
    ]
    return [line for line in lines if line]


def several_action(findings: SeveralFindings) -> str:
    """What to do next: with the best policy, or with the run."""
    main, other, rule = findings.main, findings.beyond, first_rule(findings.best)
    better = findings.best.rival is not None and findings.best.rival.better
    if other is not None and not better:
        what = f"stop at {main.name}" if findings.run else f"use {main.name}"
        spent = findings.nats.short(kl_between(main, other))
        bought = max(gain_between(main, other).high, 0.0)
        most = f"buy {findings.gains.number(bought)} at most" if bought > 0 else "buy nothing"
        return f"{what}: the {spent} nats more of {other.name} {most}."
    if rule is not None:
        return f"{main.name}: {rule}"
    if findings.run and _still_gains(findings.run):
        return "train on, and audit again: the last checkpoint still gains."
    return f"keep {main.name}{what_is_missing(findings.best)}."


def _still_gains(run: list[Audit]) -> bool:
    return gain_between(run[-2], run[-1]).low > 0


def several_cautions(findings: SeveralFindings) -> list[str]:
    """Every caution once, with the policies that it is about, unless it is about all."""
    about: dict[str, list[str]] = {}
    for audit in findings.audits:
        for line in cautions(AuditFindings(audit)):
            about.setdefault(line, []).append(audit.name)
    everyone = len(findings.audits)
    return [
        line if len(names) == everyone or line.startswith(names[0]) else f"{_listed(names)}: {line}"
        for line, names in about.items()
    ]


def _best_sentence(findings: SeveralFindings) -> str:
    main = findings.main
    what = "checkpoints" if findings.run else "policies"
    text = f"Best of {len(findings.audits)} {what}: {main.name}, "
    text += f"gain {findings.gains.full(main.gain)}"
    if main.gain.low <= 0 <= main.gain.high:
        text += ", which cannot be told from 0"
    if main.kl is None:
        return f"{text}; KL unknown, for want of log-probabilities."
    text += f" for {findings.nats.full(main.kl)} nats"
    if main.efficiency is not None and main.gain.low > 0:
        text += f": {share(main.efficiency)} of the limit"
    return f"{text}."


def _trend(findings: SeveralFindings) -> str:
    """Where the efficiency went from the best checkpoint to the last, as far as the intervals show."""
    if len(findings.run) < 2:
        return ""
    first, last = findings.run[0], findings.run[-1]
    if first.efficiency is None or last.efficiency is None:
        return ""
    falls, rises = last.efficiency.high < first.efficiency.low, last.efficiency.low > first.efficiency.high
    if not (falls or rises):
        return ""
    verb = "falls" if falls else "rises"
    return (
        f"Efficiency {verb} from {share(first.efficiency)} at {first.name} to {share(last.efficiency)} "
        f"at {last.name}."
    )


def _overspent(findings: SeveralFindings) -> str:
    """What the KL beyond the best policy's bought."""
    main, other = findings.main, findings.beyond
    if other is None:
        return ""
    spent = f"{findings.nats.full(kl_between(main, other))} more nats"
    bought = findings.gains.full(gain_between(main, other))
    if findings.run:
        return f"After {main.name}, {spent} bought {bought} until {other.name}."
    return f"{other.name} spends {spent} for {bought}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
