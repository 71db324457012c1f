"""What an audit doubts about log-probabilities: one line each, where they contradict each other beyond their noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from klimit.errors import InputError
from klimit.samples.container import Samples

Array = NDArray[np.float64]

# Standard errors over prompts beyond which a difference is no accident, and those that call for a word.
BEYOND_NOISE, _DOUBTED = 4.0, 5.0
_MOST_MASS, _ABSURD_MASS = 1.05, 1e4
_SMALLEST_DIFFERENCE = 0.02
_SMALLEST_BASE_KL = 0.1
_FEW_PROMPTS = 20


def doubt_mass(policy: Samples) -> tuple[str, ...]:
    """A line where the mean of pi0/pi over the policy's completions is above 1, its largest expectation."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, error = over_prompts(np.exp(-log_ratio(policy)), policy)
    beyond = mean > _MOST_MASS and mean - 1.0 > _DOUBTED * error
    if not beyond and mean < _ABSURD_MASS:
        return ()
    shown = f"{mean:.3g} +- {error:.2g}" if np.isfinite(mean) else "beyond every number"
    return (
        f"the mean of pi0/pi over the policy's completions is {shown}, and cannot exceed 1: "
        "log-probabilities of two engines, temperatures or tokenisations; score both with one engine at the settings "
        "of sampling",
    )


def doubt_token_kl(policy: Samples) -> tuple[str, ...]:
    """A line where exact token KLs and log ratios, two unbiased estimates of one KL, differ beyond their errors.

    Raises:
        InputError: single numbers far below the log ratio: they look like means over tokens.
    """
    if policy.token_kl is None:
        return ()
    exact, ratio = np.asarray(policy.token_kl, dtype=np.float64), log_ratio(policy)
    difference, error = over_prompts(exact - ratio, policy)
    if abs(difference) <= max(_DOUBTED * error, _SMALLEST_DIFFERENCE):
        return ()
    means = over_prompts(exact, policy)[0], over_prompts(ratio, policy)[0]
    said = f"token_kl is {means[0]:.3g} nats on average where the log ratio is {means[1]:.3g}"
    if "token_kl" not in policy.per_token and means[0] < means[1] / 3.0:
        raise InputError(
            f"{policy.source}: {said}: it looks like a mean over tokens; give its sum over the completion's tokens, "
            "or the list"
        )
    return (
        f"{said}, and both estimate the same KL: token_kl of another direction, of cut-off vocabularies or of "
        "another engine?",
    )


def doubt_base(base: Samples) -> tuple[str, ...]:
    """A line where base samples that carry both log-probabilities show a KL from the reference."""
    if base.logprob is None or base.ref_logprob is None:
        return ()
    mean, error = over_prompts(log_ratio(base), base)
    if mean <= max(_SMALLEST_BASE_KL, BEYOND_NOISE * error):
        return ()
    return (
        f"the base samples were not drawn from the reference: their own log-probabilities show a KL of {mean:.3g} +- "
        f"{error:.2g} nats from it",
    )


def log_ratio(samples: Samples) -> Array:
    """``log pi/pi0`` of each completion, shape ``(n_completions,)``."""
    return np.asarray(samples.logprob, dtype=np.float64) - np.asarray(samples.ref_logprob, dtype=np.float64)


def over_prompts(values: Array, samples: Samples) -> tuple[float, float]:
    """Mean over prompts of their means, and its standard error.

    Of few prompts it is the error of the completions within them: what is tested holds of every prompt. It is widened
    as Student's law is wider than the normal one at four standard errors.
    """
    means = np.add.reduceat(values, samples.offsets[:-1]) / samples.counts
    n_prompts, freedom = len(means), len(means) - 1
    error = float(np.std(means, ddof=1)) / np.sqrt(n_prompts) if freedom else 0.0
    if n_prompts < _FEW_PROMPTS and len(values) > n_prompts:
        squares = np.add.reduceat((values - np.repeat(means, samples.counts)) ** 2, samples.offsets[:-1])
        within = (
            float(np.sqrt((squares / (np.maximum(samples.counts - 1, 1) * samples.counts)).sum())) / n_prompts
        )
        error, freedom = within, len(values) - n_prompts
    if freedom:
        error *= special.stdtrit(freedom, special.ndtr(-BEYOND_NOISE)) / -BEYOND_NOISE
    return float(means.mean()), float(error)
