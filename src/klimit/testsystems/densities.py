"""Continuous base laws without a closed form: Beta rewards and mixtures of normals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import ClassVar

import numpy as np

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.roots import Array, Cumulants
from klimit.testsystems.base import Moments
from klimit.testsystems.continuous import ContinuousSystem
from klimit.testsystems.numerics import categorical, lattice
from klimit.testsystems.selection import Grid


@dataclass(frozen=True, eq=False)
class BetaRewards(ContinuousSystem):
    """Rewards with a Beta(a, b) law on (0, 1).

    Attributes:
        a: at least 0.05.
        b: at least 0.05.
    """

    _odds_step: ClassVar[float] = 4.0

    a: float = 2.0
    b: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0.05 <= self.a < np.inf and 0.05 <= self.b < np.inf):
            raise InputError(
                f"Beta rewards: a={self.a!r}, b={self.b!r}; both must be finite and at least 0.05"
            )

    @cached_property
    def _coarse_grid(self) -> Grid:
        # the density, tilted or not, is never narrower in logit r than 1 / sqrt(max(a, b))
        return self._nodes(min(0.25, 0.5 / np.sqrt(max(self.a, self.b))))

    def _unit(self, t: Array) -> Cumulants:
        grid = self._coarse_grid
        return exact.cumulants(grid.probability, grid.reward, t)

    @cached_property
    def _unit_moments(self) -> Moments:
        a, b = self.a, self.b
        total = a + b
        third = 2 * a * b * (b - a) / (total**3 * (total + 1) * (total + 2))
        return Moments(a / total, a * b / (total**2 * (total + 1)), third)

    @cached_property
    def _unit_saturation(self) -> tuple[float, float]:
        return np.inf, self.b / (self.a + self.b)

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        return rng.beta(self.a, self.b, size=(n_prompts, n_completions))

    def _grid(self, step: float) -> Grid:
        # F^N is as steep as exp(-N exp(-b y)) in y = logit r
        return self._nodes(0.25 * step / max(1.0, self.b))

    def _nodes(self, step: float) -> Grid:
        from scipy.special import betainc, betaln, expit

        y = lattice(-42.0 / min(self.a, 1.0), 42.0 / min(self.b, 1.0) + 25.0, step)
        r, rest = expit(y), expit(-y)
        log_density = -self.a * np.logaddexp(0, -y) - self.b * np.logaddexp(0, y) - betaln(self.a, self.b)
        cdf, survival = betainc(self.a, self.b, r), betainc(self.b, self.a, rest)
        return Grid(r, step * r * rest, step * np.exp(log_density), cdf, survival)


@dataclass(frozen=True, eq=False)
class GaussianMixture(ContinuousSystem):
    """A mixture of normals within every prompt.

    Attributes:
        means: of the components.
        sds: their standard deviations.
        weights: their probabilities.
    """

    _odds_step: ClassVar[float] = 2.0

    means: tuple[float, ...] = (0.0, 3.0)
    sds: tuple[float, ...] = (1.0, 0.5)
    weights: tuple[float, ...] = (0.9, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        m, s, w = (np.asarray(v, dtype=float) for v in (self.means, self.sds, self.weights))
        if not (m.ndim == 1 and m.shape == s.shape == w.shape and m.size):
            raise InputError("Gaussian mixture: means, sds and weights must be sequences of one length")
        if not (np.isfinite(m).all() and (s > 0).all() and np.isfinite(s).all()):
            raise InputError("Gaussian mixture: means must be finite and sds finite and > 0")
        exact.check_tables(w, m)
        if not (w > 0).all():
            raise InputError("Gaussian mixture: weights must be > 0; leave out components that never occur")

    def _scale_nodes(self, low: float, high: float) -> int:
        # L(s t) is singular where two components cancel: their exponents differ by i pi; for all t at once these
        # points lie on a ray, the worse the nearer it comes to the real axis
        means, sds, w = self._components
        slope = 10.0
        for i, j in combinations(range(len(w)), 2):
            half = 0.5 * (sds[i] ** 2 - sds[j] ** 2)
            for u in np.roots([half, means[i] - means[j], np.log(w[i] / w[j]) - 1j * np.pi]):
                if u.real > 0:
                    slope = min(slope, abs(u.imag / u.real))
        return min(int(22.0 / np.arcsinh(slope * (high + low) / (high - low))) + 10, 600)

    @cached_property
    def _components(self) -> tuple[Array, Array, Array]:
        return tuple(np.asarray(v, dtype=float) for v in (self.means, self.sds, self.weights))  # type: ignore[return-value]

    def _unit(self, t: Array) -> Cumulants:
        means, sds, w = self._components
        d = means - w @ means
        v = sds * sds
        u = t[..., None]
        x = u * d + 0.5 * u * u * v
        slope = d + u * v
        top = x.max(axis=-1, keepdims=True)
        q = w * np.exp(x - top)
        total = q.sum(axis=-1, keepdims=True)
        q = q / total
        large = (top + np.log(total))[..., 0]
        # small tilts: sum of terms of one sign; the linear parts of x average to zero
        capped = np.minimum(x, 100.0)
        excess = (w * exact.expm1_minus(capped)).sum(axis=-1) + 0.5 * t * t * (w @ v)
        plain = top[..., 0] < 100.0
        log_partition = np.where(plain, np.log1p(excess), large)
        gain_plain = ((w * d * np.expm1(capped)).sum(-1) + t * (w * v * np.exp(capped)).sum(-1)) / (
            1.0 + excess
        )
        gain = np.where(plain, gain_plain, (q * slope).sum(axis=-1))
        variance = (q * (v + (slope - gain[..., None]) ** 2)).sum(axis=-1)
        return Cumulants(log_partition, gain, variance, t * gain - log_partition)

    @cached_property
    def _unit_moments(self) -> Moments:
        means, sds, w = self._components
        mean = float(w @ means)
        d = means - mean
        return Moments(mean, float(w @ (d * d + sds**2)), float(w @ (d**3 + 3 * d * sds**2)))

    @cached_property
    def _unit_saturation(self) -> tuple[float, float]:
        return np.inf, np.inf

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        means, sds, w = self._components
        which = categorical(rng, w, (n_prompts, n_completions))
        rewards = rng.standard_normal((n_prompts, n_completions))
        rewards *= sds[which]
        rewards += means[which]
        return rewards

    def _grid(self, step: float) -> Grid:
        from scipy.special import ndtr

        means, sds, w = self._components
        offsets = np.arange(-38.0, 38.0 + 0.25 * step, 0.5 * step)
        edges = np.unique((means[:, None] + sds[:, None] * offsets).reshape(-1))
        nodes, node_weights = np.polynomial.legendre.leggauss(12)
        half = 0.5 * np.diff(edges)[:, None]
        x = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes).reshape(-1)
        width = (half * node_weights).reshape(-1)
        z = (x[:, None] - means) / sds
        density = (w / sds * np.exp(-0.5 * z * z)).sum(axis=1) / np.sqrt(2 * np.pi)
        return Grid(x, width, width * density, ndtr(z) @ w, ndtr(-z) @ w)
