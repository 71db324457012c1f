"""The one thing to do after an audit: the first rule that the intervals support."""

from __future__ import annotations

import numpy as np

from klimit.audits.notes import impossible
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.numbers import nats, percent, plural
from klimit.reports.values import share
from klimit.values import Value

_FEW_PROMPTS = 20
_EFFICIENT = 0.9  # efficiency from which a policy leaves little at its own KL
_WASTEFUL = 0.25  # efficiency below which a gain that may be 0 is no matter of too few samples
_MAJOR = 0.2  # of the KL, at least: a part worth an action of its own
_IDLE = 1 / 3  # of the KL on prompts without a gain, from which they are the action


def action(findings: AuditFindings) -> str:
    """What to do next."""
    said = first_rule(findings)
    return _compare(findings) if said is None else said


def first_rule(findings: AuditFindings) -> str | None:
    """What the first rule that applies says; None where nothing stands out."""
    return next((said for said in (rule(findings) for rule in _RULES) if said is not None), None)


def _impossible(findings: AuditFindings) -> str | None:
    if not impossible(findings.audit):
        return None
    return (
        "check where ref_logprob comes from: no policy gains so much for so little KL from the base model. Score the "
        "completions under the very model that the base samples were drawn from."
    )


def _no_signal(findings: AuditFindings) -> str | None:
    if findings.audit.limit.rewards.scale > 0:
        return None
    return (
        "check the reward: it never varies within a prompt of the base samples; "
        "if it is right, sample more completions."
    )


def _same_policy(findings: AuditFindings) -> str | None:
    if not findings.same_policy:
        return None
    gain = findings.audit.gain
    if gain.low <= 0 <= gain.high:
        return "audit a trained policy: this one is its reference, unless one column was written under both names."
    return (
        "check the log-probabilities: they say that the policy is its reference, its rewards that it is not; "
        "was one column written under both names?"
    )


def _few_prompts(findings: AuditFindings) -> str | None:
    count = findings.audit.n_prompts
    return f"audit more prompts, {_FEW_PROMPTS} at least ({count} now)." if count < _FEW_PROMPTS else None


def _loss(findings: AuditFindings) -> str | None:
    audit = findings.audit
    if audit.gain.high >= 0:
        return None
    return (
        f"go back to an earlier checkpoint or to the base policy: {audit.reward_name} fell. "
        "Was it the reward that training maximised, with this sign?"
    )


def _no_gain(findings: AuditFindings) -> str | None:
    audit = findings.audit
    if audit.gain.low > 0:
        return None
    efficiency = audit.efficiency
    if efficiency is not None and efficiency.high <= _WASTEFUL:
        most = findings.gains.number(max(audit.gain.high, 0.0))
        return (
            f"find out why: {findings.nats.short(audit.kl)} nats bought {most} at most, "
            f"{percent(efficiency.high)} of what they could. Was {audit.reward_name} the reward that training "
            "maximised?"
        )
    return f"audit more prompts: the gain, {findings.gains.full(audit.gain)}, cannot be told from 0."


def _no_logprobs(findings: AuditFindings) -> str | None:
    if findings.audit.kl is not None:
        return None
    return (
        "score these completions under the policy and under its reference (columns logprob and ref_logprob): "
        "only that shows their KL, and where it went."
    )


def _noise(findings: AuditFindings) -> str | None:
    audit = findings.audit
    assert audit.kl is not None
    floor = audit.noise_floor
    if floor is not None and audit.kl.low <= max(floor.high, 0.0):
        return (
            f"score both log-probabilities with one engine and dtype: the KL, {findings.nats.full(audit.kl)}, cannot "
            f"be told from the noise between engines ({findings.nats.full(floor)})."
        )
    if audit.kl.low <= 0:
        return f"sample more completions or prompts: the KL, {findings.nats.full(audit.kl)}, cannot be told from 0."
    return None


def _efficient(findings: AuditFindings) -> str | None:
    audit = findings.audit
    if audit.efficiency is None or audit.missing_reward is None or audit.efficiency.low < _EFFICIENT:
        return None
    most = findings.gains.number(max(audit.missing_reward.high, 0.0))
    return (
        f"keep it: at its KL no method gains more than {most} beyond it. More reward takes more KL, "
        "or another reward."
    )


def _best_of_n(findings: AuditFindings) -> str | None:
    rival, audit = findings.rival, findings.audit
    if rival is None or not rival.better:
        return None
    more = findings.gains.number(rival.gain - audit.gain.estimate)
    assert audit.kl is not None
    less = findings.nats.number(audit.kl.estimate - rival.kl)
    return (
        f"use best-of-{rival.n} of the base policy, or train on its choices: {more} reward for {less} nats less, "
        f"at {rival.n} draws an answer."
    )


def _major_part(findings: AuditFindings) -> str | None:
    audit = findings.audit
    assert audit.kl is not None
    parts = {
        name: value for name, value in findings.told_apart.items() if name != "necessary" and value.known
    }
    if not parts:
        return None
    name = max(parts, key=lambda part: parts[part].estimate)
    if parts[name].low < _MAJOR * audit.kl.high:
        return None
    if _mostly_idle(findings) and name != "shape":
        return _idle_prompts(findings)
    return _ADVICE[name].format(most=_of_the_kl(findings, parts[name]), beta=_beta(findings))


def _of_the_kl(findings: AuditFindings, part: Value) -> str:
    nats = findings.nats
    return f"{nats.short(part)} of {nats.short(findings.audit.kl)} nats"


def _beta(findings: AuditFindings) -> str:
    fit = findings.audit.regression
    beta = None if fit is None else fit.implied_beta
    if beta is None or not np.isfinite(beta.high):
        return ""
    return f" (its log ratios follow the reward like a beta of {beta.estimate:.3g})"


_ADVICE = {
    "off-reward": (
        "bring the KL down, {most} go to what the reward does not see: a larger beta, an earlier checkpoint, "
        "or a penalty on the whole completion's log ratio instead of each token's."
    ),
    "allocation": (
        "give all prompts one beta, {most} go to the wrong ones: do not divide rewards by each prompt's own spread "
        "(GRPO's default scaling), which gives every prompt another."
    ),
    "shape": (
        "look at the rewards within a prompt, {most} give them another law than the optimum's: fewer steps on "
        "the same samples, or a penalty on the whole completion's log ratio{beta}."
    ),
    "shape + off-reward": (
        "bring the KL down, {most} change what does not raise the reward: a larger beta, an earlier checkpoint, "
        "or a penalty on the whole completion's log ratio instead of each token's."
    ),
}


def _idle_prompts(findings: AuditFindings) -> str:
    count = int(findings.audit.prompts.idle.sum())
    return (
        f"look at the {plural(count, 'prompt')} that took {percent(findings.idle_share)} of the KL and show no gain "
        "(--prompts-csv, column idle): drop them from training, or weigh them less."
    )


def _mostly_idle(findings: AuditFindings) -> bool:
    return findings.much_idle and findings.idle_share >= _IDLE


def _idle(findings: AuditFindings) -> str | None:
    return _idle_prompts(findings) if _mostly_idle(findings) else None


def _range(findings: AuditFindings) -> str | None:
    audit = findings.audit
    if audit.efficiency is None or audit.efficiency.known:
        return None
    now, horizon = int(np.median(audit.limit.rewards.counts)), audit.limit.horizon
    shown = f"the limit up to {nats(horizon)} only" if horizon > 0 else "bounds on the limit only"
    return (
        f"sample more completions of the base policy ({4 * now:,} a prompt, say): its {now:,} show {shown}, "
        f"so the efficiency is {share(audit.efficiency)}."
    )


def _compare(findings: AuditFindings) -> str:
    missing = findings.audit.missing_reward
    if missing is not None and missing.low <= 0:
        return (
            "keep it, or audit more prompts to be sure: nothing is surely missing at its KL "
            f"(efficiency {share(findings.audit.efficiency)})."
        )
    return f"audit its other checkpoints, or runs of another beta, beside it{what_is_missing(findings)}."


def what_is_missing(findings: AuditFindings) -> str:
    """The reward missing at the policy's KL, where nothing stands out; begins with a colon."""
    missing = findings.audit.missing_reward
    if missing is None:
        return ""
    return f": at its own KL it lacks {findings.rewards.full(missing)} reward, and no one cause stands out"


_RULES = (
    _no_signal,
    _same_policy,
    _impossible,
    _few_prompts,
    _loss,
    _no_gain,
    _no_logprobs,
    _noise,
    _efficient,
    _best_of_n,
    _major_part,
    _idle,
    _range,
)
