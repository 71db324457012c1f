"""Audits of policies known exactly, good and odd; and the same with some values put in by hand."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np

import klimit
from klimit.audits.result import Audit, Audits
from klimit.samples import Samples
from klimit.testsystems import PolicyTables, random_tables
from klimit.values import Value

BASE, LEVELS = random_tables(200, 24, n_levels=6, seed=1)
PLAIN = random_tables(100, 64, seed=6)
BINARY = (np.median(LEVELS) < LEVELS).astype(float)
SPREAD = np.exp(np.random.default_rng(0).normal(-0.7, 1.2, 200))


def _tables() -> dict[str, tuple[PolicyTables, int, int, int]]:
    """Policy, prompts, completions of the policy, completions of the base policy."""
    noisy = PolicyTables.noisy
    return {
        "tilted": (PolicyTables.tilted(BASE, LEVELS, 0.4), 100, 64, 128),
        "noisy": (noisy(BASE, LEVELS, 0.4, 1.5, seed=1), 100, 64, 128),
        "misallocated": (PolicyTables.misallocated(BASE, LEVELS, SPREAD), 100, 64, 128),
        "permuted": (PolicyTables.permuted(BASE, LEVELS, 1.0, seed=1), 100, 64, 128),
        "lost": (PolicyTables.tilted(BASE, LEVELS, -1.0), 100, 64, 128),
        "weak": (PolicyTables.tilted(BASE, LEVELS, 30.0), 100, 64, 128),
        "binary": (noisy(BASE, BINARY, 0.4, 1.0, seed=2), 100, 64, 128),
        "continuous": (noisy(*PLAIN, 0.7, 0.5, seed=2), 100, 64, 128),
        "far": (noisy(*PLAIN, 0.05, 5.0, seed=2), 100, 64, 24),
        "few prompts": (noisy(BASE, LEVELS, 0.4, 1.0, seed=1), 6, 64, 128),
        "one prompt": (noisy(BASE, LEVELS, 0.4, 1.0, seed=1), 1, 64, 128),
        "few completions": (noisy(*PLAIN, 0.7, 0.5, seed=2), 80, 4, 4),
        "one completion": (noisy(*PLAIN, 0.7, 0.5, seed=2), 80, 1, 8),
        "constant": (noisy(BASE, np.zeros_like(LEVELS), 1.0, 1.0, seed=1), 100, 64, 128),
    }


TABLES = _tables()
ODD = ("without log-probabilities", "same", "truncated", "two engines", "large", "small")
NAMES = (*TABLES, *ODD)


def audit_quietly(policies: dict[str, Samples], base: Samples, **options: object) -> Audits:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        found = klimit.audit(policies, base, **options)
    assert isinstance(found, Audits)
    return found


@cache
def samples_of(name: str) -> tuple[Samples, Samples]:
    if name in TABLES:
        system, n_prompts, own, theirs = TABLES[name]
        return system.sample(n_prompts, own, theirs, seed=3)
    policy, base = samples_of("noisy")
    rng = np.random.default_rng(0)
    if name == "without log-probabilities":
        return replace(policy, logprob=None, ref_logprob=None), base
    if name == "same":
        return replace(base, ref_logprob=base.logprob), base
    if name == "truncated":
        return replace(policy, truncated=rng.random(policy.n_completions) < 0.3), base
    if name == "two engines":
        return replace(
            policy, sampling_logprob=policy.logprob - rng.exponential(0.3, policy.n_completions)
        ), base
    scale, shift = (1e9, 1e12) if name == "large" else (1e-9, 0.0)
    scaled = [replace(one, rewards={"reward": shift + scale * one.reward()}) for one in (policy, base)]
    return scaled[0], scaled[1]


@cache
def audits_of(name: str) -> Audits:
    policy, base = samples_of(name)
    return audit_quietly({"grpo": policy}, base)


def audit_of(name: str, **changes: object) -> Audit:
    """An audit with some of its fields put in by hand."""
    return replace(audits_of(name)[0], **changes)


@cache
def run_of(strengths: tuple[float, ...] = (0.2, 0.5, 1.5, 2.5)) -> Audits:
    """Checkpoints of one run: the first ones gain, the last ones drift."""
    betas = (1.5, *[0.4] * (len(strengths) - 1))
    drawn = [
        PolicyTables.noisy(BASE, LEVELS, beta, strength, seed=1).sample(100, 64, 128, seed=3)
        for beta, strength in zip(betas, strengths, strict=True)
    ]
    return audit_quietly(
        {f"step={100 * (i + 1)}": policy for i, (policy, _) in enumerate(drawn)}, drawn[0][1]
    )


def near(x: float, error: float = 0.01) -> Value:
    return Value(x, x - error, x + error)
