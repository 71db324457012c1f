"""The eight laws of the cover study, by name."""

from __future__ import annotations

from klimit.testsystems.base import TestSystem
from klimit.testsystems.binary import Bernoulli, BetaBernoulli
from klimit.testsystems.continuous import Exponential, Gaussian, Uniform
from klimit.testsystems.densities import BetaRewards, GaussianMixture
from klimit.testsystems.discrete import Discrete


def systems(
    *, scale: float | tuple[float, float] | None = (0.5, 1.5), location_sd: float = 1.0
) -> dict[str, TestSystem]:
    """The study's laws, with prompts that differ in scale and location unless told otherwise.

    Args:
        scale: ``(low, high)`` for scales uniform over prompts; None for equal prompts.
        location_sd: standard deviation of the prompts' shifts.
    """
    return {
        "gaussian": Gaussian(scale=scale, location_sd=location_sd),
        "uniform": Uniform(scale=scale, location_sd=location_sd),
        "exponential": Exponential(scale=scale, location_sd=location_sd),
        "bernoulli": Bernoulli(0.2, scale=scale, location_sd=location_sd),
        "beta-bernoulli": BetaBernoulli(0.3, 2.0, scale=scale, location_sd=location_sd),
        "beta": BetaRewards(2.0, 5.0, scale=scale, location_sd=location_sd),
        "two-normals": GaussianMixture(
            (0.0, 3.0), (1.0, 0.5), (0.9, 0.1), scale=scale, location_sd=location_sd
        ),
        "five-levels": Discrete(
            (0.0, 1.0, 2.0, 3.0, 4.0), (0.35, 0.3, 0.2, 0.1, 0.05), scale=scale, location_sd=location_sd
        ),
    }
