"""What a report on an ensemble says first, its worth beside the best member, and the one thing to do, last."""

from __future__ import annotations

import math

import numpy as np

from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.hacking.verdict import kl_value
from klimit.reports.numbers import nats, percent
from klimit.reports.values import Unit
from klimit.values import Value

_FEW_PROMPTS = 20
_MOSTLY = 0.5  # of the error variance: shared from here on, more of the same kind is no way out
_LABELS = 16  # of a prompt: enough for gap and threshold as well


def verdict(findings: EnsembleFindings) -> list[str]:
    """Sentences, the ensemble's worth first; each begins a line."""
    if findings.found.errors is None:
        lines = agreement_sentences(findings)
    else:
        lines = [
            worth_sentence(findings),
            shared_sentence(findings),
            hacked_sentence(findings),
            blind_sentence(findings),
        ]
    return [line for line in lines if line]


def worth_sentence(findings: EnsembleFindings) -> str:
    """Correlation with gold beside the best member's, no more than the paired interval supports."""
    found, best, advantage = findings.found, findings.best_member, findings.advantage
    assert found.errors is not None
    assert found.correlation is not None
    assert best is not None
    assert advantage is not None
    own, alone = found.correlation, found.errors.correlation[best]
    name = found.proxies[best]
    if advantage.low > 0 or advantage.high < 0:
        only = "" if advantage.low > 0 else "only "
        return (
            f"{findings.what} is worth {only}{own.estimate / alone.estimate:.3g} of the best one: correlation with "
            f"{found.gold_name} {correlation(own)} against {alone.estimate:.2f} ({name})."
        )
    return (
        f"{findings.what} cannot be told from the best one, {name}: correlation with {found.gold_name} "
        f"{correlation(own)} against {alone.estimate:.2f} ({found.errors.law.correlation[0]:.2f} for one at random)."
    )


def shared_sentence(findings: EnsembleFindings) -> str:
    """What more members of the same kind could still remove of the error."""
    shared, errors = findings.shared, findings.found.errors
    if shared is None or errors is None:
        return ""
    most = percent(min(1 - shared.low, 1.0))
    if not findings.shares:
        return (
            "Nothing shows that they share an error, beyond what standardising within prompts may cost: more of the "
            f"same kind may bring the error variance down by up to {most}."
        )
    which = "" if findings.found.aggregator.name == "mean" else " of their mean"
    share = f"{percent(shared.estimate)} [{100 * shared.low:.0f}, {100 * shared.high:.0f}]"
    return (
        f"Beyond {findings.n_members}, more of the same kind bring the error variance{which} down by at most {most}: "
        f"{share} of it is shared."
    )


def hacked_sentence(findings: EnsembleFindings) -> str:
    """What optimising the ensemble does to gold, beside its single members."""
    hacked = findings.hacked
    if hacked is None:
        return ""
    best = hacked.subsets[-1][0].best_n
    gains = gold_unit(findings)
    if best.setting.estimate <= 1 or best.gold_gain.low <= 0:
        return f"No best-of-N by it surely gains. {_turn(findings)}"
    text = f"Best-of-{best.setting.estimate:g} by it gains {gains.full(best.gold_gain)}"
    if hacked.size[0] == 1:
        mean, least, most = (x[0] for x in hacked.best_n_gain)
        text += f"; by single members, {gains.number(mean)} on average ({gains.number(least)} to {gains.number(most)})"
    return f"{text}. {_turn(findings)}"


def blind_sentence(findings: EnsembleFindings) -> str:
    """What the proxies' agreement alone would make one believe."""
    agreed, raw = findings.found.collocation, findings.raw_correlation
    if not findings.blind or agreed is None or raw is None:
        return ""
    return (
        f"Their agreement alone would claim a correlation of {correlation(agreed.mean_correlation)}, where gold finds "
        f"{raw.estimate:.2f}: what all get wrong together looks like the truth."
    )


def agreement_sentences(findings: EnsembleFindings) -> list[str]:
    """Without gold: what the proxies show by their agreement, and that it is blind."""
    found = findings.found
    if found.collocation is None:
        return [f"{findings.what}: without gold their agreement does not tell how good they are."]
    values = found.collocation.correlation
    order = np.argsort([one.estimate for one in values])
    worst, best = (int(order[k]) for k in (0, -1))
    whole = correlation(found.collocation.mean_correlation)
    return [
        f"By agreement alone, {_lower(findings.what)} has correlation {whole} with what they have in common; "
        f"single ones {values[worst].estimate:.2f} ({found.proxies[worst]}) to "
        f"{values[best].estimate:.2f} ({found.proxies[best]}).",
        "This is blind to errors that they share: only gold labels can show those.",
    ]


def action(findings: EnsembleFindings) -> str:
    """What to do next: the first rule that the intervals support."""
    return next(said for said in (rule(findings) for rule in _RULES) if said is not None)


def correlation(value: Value) -> str:
    """``0.61 [0.55, 0.66]``."""
    return f"{value.estimate:.2f} [{value.low:.2f}, {value.high:.2f}]"


def gold_unit(findings: EnsembleFindings) -> Unit:
    """How gains in gold are written."""
    assert findings.hacked is not None
    return Unit.fitting(findings.hacked.subsets[-1][0].best_n.gold_gain, signed=True)


def title(findings: EnsembleFindings) -> str:
    """The verdict in two short lines."""
    found = findings.found
    if found.errors is None:
        return f"{findings.what}:\nagreement alone, blind to shared errors"
    assert found.correlation is not None
    first = f"{findings.what}: correlation {found.correlation.estimate:.2f}"
    shared = findings.shared
    if shared is None or not findings.shares:
        return first
    return f"{first};\n{percent(shared.estimate)} of the error is shared"


def _turn(findings: EnsembleFindings) -> str:
    assert findings.hacked is not None
    whole, gold = findings.hacked.subsets[-1][0], findings.found.gold_name
    threshold = whole.threshold
    if whole.horizon <= 0:
        return f"Along the tilt by it nothing can be said of {gold}."
    if not threshold.known:
        return f"Along the tilt by it {gold} does not turn down within {nats(whole.horizon)}."
    if threshold.estimate <= 0:
        return f"Along the tilt by it {gold} seems to fall from the start."
    if math.isfinite(threshold.high):
        return f"Along the tilt by it {gold} turns down at {kl_value(threshold)}."
    return (
        f"Along the tilt by it {gold} seems to turn down at {nats(threshold.estimate)}, not before "
        f"{nats(threshold.low)}."
    )


def _few_prompts(findings: EnsembleFindings) -> str | None:
    count = findings.found.samples.n_prompts
    return f"score more prompts, {_FEW_PROMPTS} at least ({count} now)." if count < _FEW_PROMPTS else None


def _label(findings: EnsembleFindings) -> str | None:
    if findings.found.errors is not None:
        return None
    count = findings.found.samples.n_prompts
    return (
        f"label {_LABELS} completions of each prompt with gold ({_LABELS * count:,} labels), and ask again of those "
        "with --gold: agreement cannot show what all of them get wrong."
    )


def _against(findings: EnsembleFindings) -> str | None:
    errors = findings.found.errors
    assert errors is not None
    down = [
        name for name, one in zip(findings.found.proxies, errors.correlation, strict=True) if one.high < 0
    ]
    if not down:
        return None
    gold = findings.found.gold_name
    return f"leave out {', '.join(down)}, or change the sign: within prompts {gold} falls where it rises."


def _one_is_better(findings: EnsembleFindings) -> str | None:
    if findings.advantage is None or findings.advantage.high >= 0:
        return None
    assert findings.best_member is not None
    return f"use {findings.found.proxies[findings.best_member]} alone: the others take from it more than they give."


def _weigh(findings: EnsembleFindings) -> str | None:
    weights = findings.found.weights
    if not findings.weights_pay or weights is None or findings.found.aggregator.name != "mean":
        return None
    text = ",".join(f"{one.estimate:.3g}" for one in weights.weights)
    more = weights.best_less_equal
    return (
        f"weigh the members, --aggregate weighted:{text}: on held-out prompts the correlation rises by "
        f"{more.estimate:.2f} [{more.low:.2f}, {more.high:.2f}]."
    )


def _other_kind(findings: EnsembleFindings) -> str | None:
    if findings.shared is None or not findings.shares or findings.shared.low < _MOSTLY:
        return None
    return (
        f"add a proxy of another kind (other data, another base model): {percent(findings.shared.estimate)} of the "
        "error is shared by all, and no number of these averages it away."
    )


def _more(findings: EnsembleFindings) -> str | None:
    shared = findings.shared
    if shared is None:
        return None
    return (
        f"add members of this kind while they are cheap: twice as many would take about "
        f"{percent((1 - shared.estimate) / 2)} off the error variance."
    )


def _use(findings: EnsembleFindings) -> str | None:
    return f"use {findings.found.name} in place of a single proxy."


_RULES = (_few_prompts, _label, _against, _one_is_better, _weigh, _other_kind, _more, _use)


def _lower(text: str) -> str:
    return f"{text[0].lower()}{text[1:]}"
