"""Proxies of one gold reward with known slopes, units and error covariances: samples and the exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.samples import Samples


@dataclass(frozen=True)
class FactorModel:
    """Within a prompt of gold variance v: ``s_k = units_k (slopes_k r + e_k)``, ``Var r = v``, ``Cov e = errors``.

    Prompts have one of ``spreads`` as v, with probabilities ``shares``; every proxy has its own level in every prompt.
    """

    slopes: np.ndarray
    errors: np.ndarray
    units: np.ndarray
    spreads: tuple[float, ...] = (1.0,)
    shares: tuple[float, ...] = (1.0,)
    law: str = "gaussian"

    @classmethod
    def independent(cls, slopes, noise, **more):
        return cls(np.array(slopes), np.diag(np.square(noise)), np.ones(len(slopes)), **more)

    @property
    def names(self):
        return tuple(f"proxy_{k}" for k in range(len(self.slopes)))

    def covariance(self, v):
        """Of the raw proxies and, last, gold, in a prompt of gold variance v."""
        k = len(self.slopes)
        full = np.empty((k + 1, k + 1))
        full[:k, :k] = v * np.outer(self.slopes, self.slopes) + self.errors
        full[:k, k] = full[k, :k] = v * self.slopes
        full[k, k] = v
        scale = np.append(self.units, 1.0)
        return full * np.outer(scale, scale)

    def raw(self):
        """Mean over prompts of that."""
        return sum(p * self.covariance(v) for p, v in zip(self.shares, self.spreads, strict=True))

    def standardised(self):
        """Mean over prompts, with the proxies over their standard deviation within each prompt."""
        k = len(self.slopes)

        def one(v):
            covariance = self.covariance(v)
            scale = np.append(1 / np.sqrt(np.diag(covariance)[:k]), 1.0)
            return covariance * np.outer(scale, scale)

        return sum(p * one(v) for p, v in zip(self.shares, self.spreads, strict=True))

    def reliability(self):
        """Squared correlation of each raw proxy with gold within prompts."""
        raw = self.raw()
        return raw[:-1, -1] ** 2 / np.diag(raw)[:-1] / raw[-1, -1]

    def draw(self, rng, n_prompts, n_low, n_high=None):
        """Proxies and gold ``(K + 1, n)``, and offsets."""
        counts = rng.integers(n_low, (n_high or n_low) + 1, n_prompts)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        n, k = int(offsets[-1]), len(self.slopes)
        spread = rng.choice(self.spreads, n_prompts, p=self.shares)
        gold = np.sqrt(np.repeat(spread, counts)) * self._noise(rng, (n,))
        size, vectors = np.linalg.eigh(self.errors)
        errors = (vectors * np.sqrt(np.maximum(size, 0.0))) @ self._noise(rng, (k, n))
        level = 5 * rng.standard_normal((k, n_prompts))
        proxies = self.slopes[:, None] * gold + errors + np.repeat(level, counts, axis=1)
        return np.vstack([self.units[:, None] * proxies, gold]), offsets

    def samples(self, seed, n_prompts, n_low, n_high=None):
        values, offsets = self.draw(np.random.default_rng(seed), n_prompts, n_low, n_high)
        rewards = dict(zip((*self.names, "gold"), values, strict=True))
        return Samples(rewards=rewards, offsets=offsets, prompt_ids=np.arange(n_prompts), source="model")

    def _noise(self, rng, shape):
        return rng.standard_normal(shape) if self.law == "gaussian" else rng.exponential(size=shape) - 1


UNITS = np.array([1.0, 10.0, 0.1, 3.0, 100.0])
INDEPENDENT = FactorModel(
    slopes=np.array([1.0, 0.8, 0.6, 0.9, 0.5]),
    errors=np.diag(np.square([0.6, 0.9, 1.0, 0.5, 1.2])),
    units=UNITS,
    spreads=(0.25, 1.0, 2.5),
    shares=(0.3, 0.5, 0.2),
)
