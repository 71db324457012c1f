"""What came out of an experiment in words: how near each method got to the limit, then every policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from klimit.audits.result import Audit
from klimit.experiments.results import Found, best_of_n_rows, rows_of, value_of
from klimit.reports.audit.several import SeveralFindings
from klimit.reports.audit.several_text import parts_table
from klimit.reports.layout import table, wrap
from klimit.reports.numbers import nats, percent, plural
from klimit.reports.values import Unit, share
from klimit.values import Value

Rows = Sequence[Mapping[str, Any]]
_BESIDE = {
    "allocation": "on the wrong prompts",
    "shape": "on another law of the reward",
    "off_reward": "on what the reward does not see",
    "both": "on what the reward does not see, or on another law of it",
}


def summary(found: Found) -> str:
    """How near each method got to the limit, in 80 columns, ending in a newline."""
    lines = [wrap(line, indent="  ") for line in lead(found)]
    parts = parts_table(SeveralFindings(found.audits))
    return "\n".join([*lines, "", *_table(found), "", "Where their KL went, nats:", *parts, ""])


def lead(found: Found) -> tuple[str, ...]:
    """The answer in a few sentences."""
    reward, methods = found.recipe.limit_reward, _methods(found)
    prompts = plural(found.audits[0].n_prompts, "held-out prompt")
    known = {name: _known(rows) for name, rows in methods.items()}
    told = [f"{name}: {_range(shares)} {_ends(shares)}" for name, shares in known.items() if shares]
    lines = []
    if told:
        level = f"{100 * found.audits[0].level:g}%"
        lines.append(f"Share of the limit of {reward} at the same KL: {'; '.join(told)}.")
        lines.append(f"On {prompts}; in brackets the ends of the {level} intervals.")
    lines += _beyond(methods, found)
    if spent := _spent(found):
        lines.append(f"KL that their gain did not need went mostly {spent}.")
    return (*lines, *_by_trained_reward(found))


def _methods(found: Found) -> dict[str, Rows]:
    """The rows of each method, by its name."""
    best, rows = best_of_n_rows(found.best_of_n), rows_of(found)
    methods: dict[str, Rows] = {}
    if inside := [row for row in best if row["efficiency"]["estimate"] == row["efficiency"]["estimate"]]:
        methods[_sizes(inside)] = inside
    if outside := [row for row in best if row not in inside]:
        methods[_sizes(outside)] = outside
    for trainer in found.recipe.trainers:
        methods[trainer] = [row for row in rows if row["trainer"] == trainer]
    return methods


def _sizes(rows: Rows) -> str:
    first, last = rows[0]["n"], rows[-1]["n"]
    return f"best-of-{first}" if first == last else f"best-of-{first} to {last}"


def _known(rows: Rows) -> list[Value]:
    """The shares of the limit that are known."""
    found = (value_of(row, "efficiency") for row in rows)
    return [value for value in found if value is not None and value.known]


def _range(shares: Sequence[Value]) -> str:
    """From the least to the largest."""
    estimates = [value.estimate for value in shares]
    low, high = percent(min(estimates)), percent(max(estimates))
    return low if low == high else f"{low} to {high}"


def _ends(shares: Sequence[Value]) -> str:
    """From the lowest end of the intervals to the highest."""
    low, high = min(value.low for value in shares), max(value.high for value in shares)
    return f"[{percent(low)[:-1]}, {percent(high)[:-1]}]"


def _beyond(methods: Mapping[str, Rows], found: Found) -> list[str]:
    """What is known of those whose KL is beyond the horizon."""
    told = []
    for name, rows in methods.items():
        values = (value_of(row, "efficiency") for row in rows)
        open_ = [value for value in values if value is not None and not value.known]
        if open_:
            least = min(value.low for value in open_)
            count = "" if len(open_) == len(rows) else f" ({len(open_)} of {len(rows)} policies)"
            told.append(f"{name}{count} {f'at least {percent(least)}' if least > 0 else 'unknown'}")
    if not told:
        return []
    horizon = found.audits.limit.horizon
    where = f"Beyond {nats(horizon)} (the horizon of these samples)" if horizon > 0 else "With these samples"
    return [f"{where} there are bounds only: {'; '.join(told)}."]


def _spent(found: Found) -> str:
    """The largest part of each trainer's KL beside what its gain needed."""
    told: dict[str, list[str]] = {}
    for trainer in found.recipe.trainers:
        audits = [
            each for run, each in zip(found.recipe.runs, found.audits, strict=True) if run.trainer == trainer
        ]
        inside = [each for each in audits if each.status == "estimate"]
        resolved = all(each.parts is not None and each.parts.resolved for each in inside)
        shares = [known for each in inside if (known := _shares_of_kl(each, resolved=resolved))]
        sums = {name: sum(each[name] for each in shares) for name in (shares[0] if shares else ())}
        if sums and max(sums.values()) > 0:
            most = max(sums, key=lambda name: sums[name])
            values = [Value(each[most], each[most], each[most]) for each in shares]
            told.setdefault(_BESIDE[most], []).append(f"{trainer}: {_range(values)} of its KL")
    return ", ".join(f"{where} ({', '.join(whose)})" for where, whose in told.items())


def _shares_of_kl(audit: Audit, *, resolved: bool) -> dict[str, float]:
    """The parts of a policy's KL over all of it; none where they, or that any was wasted, are not known."""
    parts, whole, wasted = audit.parts, audit.kl, audit.wasted_kl
    if parts is None or whole is None or wasted is None or not wasted.low > 0:
        return {}
    allocation, shape, off_reward = (
        max(value.estimate, 0.0) / whole.estimate
        for value in (parts.allocation, parts.shape, parts.off_reward)
    )
    told = {"shape": shape, "off_reward": off_reward} if resolved else {"both": shape + off_reward}
    found = {"allocation": allocation, **told}
    return found if sum(found.values()) <= 1 else {}  # more than the whole, or nan: lost in noise


def _by_trained_reward(found: Found) -> list[str]:
    if found.trained is None:
        return []
    rows = [{**row["by_trained_reward"], "trainer": row["trainer"]} for row in rows_of(found)]
    told = []
    for trainer in found.recipe.trainers:
        shares = _known([row for row in rows if row["trainer"] == trainer])
        how = f"{_range(shares)} {_ends(shares)}" if shares else "unknown (beyond the horizon)"
        told.append(f"{trainer}: {how}")
    return [f"Of the limit of {found.recipe.reward}, which they were trained on: {'; '.join(told)}."]


def _table(found: Found) -> list[str]:
    level = f"{100 * found.audits[0].level:g}%"
    named = [(f"best-of-{row['n']}", row) for row in best_of_n_rows(found.best_of_n)]
    named += [(row["name"], row) for row in rows_of(found)]
    kls = Unit.fitting(*(value_of(row, "kl") for _, row in named))
    gains = Unit.fitting(*(value_of(row, "gain") for _, row in named), signed=True)
    lines = [("", "KL, nats", f"gain [{level}]", "of the limit")]
    for name, row in named:
        kl, gain, of_limit = (value_of(row, each) for each in ("kl", "gain", "efficiency"))
        lines.append((name, kls.full(kl), gains.full(gain), share(of_limit)))
    return table(lines)
