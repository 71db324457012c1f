"""A gold and a proxy reward given as tables: the exact truth of reward hacking, and samples of the base policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.limit.roots import Array
from klimit.samples.container import Samples
from klimit.testsystems import proxy_worlds as worlds
from klimit.testsystems.policy_making import random_tables
from klimit.testsystems.policy_samples import cumulative, draw_outputs
from klimit.testsystems.proxy_gaps import along_errors, divergence, span
from klimit.testsystems.proxy_numbers import ProxyNumbers
from klimit.testsystems.proxy_path import below_top, follow


@dataclass(frozen=True, eq=False, repr=False)
class ProxyTables(ProxyNumbers):
    """A base policy with a gold and a proxy reward as tables ``(P, K)``: exact numbers of hacking, and samples.

    >>> world = ProxyTables.heavy_error(seed=1)
    >>> world.threshold, world.best_beta, world.worse_than_base  # KLs of the proxy's tilt, nats
    >>> world.best_of_n([1, 2, 4, 8]).gold_gain, world.gap(0.5), world.regret(0.5)
    >>> samples = world.sample(300, 64, seed=2)  # rewards "gold" and "proxy"
    """

    # Worlds of known shape.

    @classmethod
    def heavy_error(cls, n_prompts: int = 200, n_outputs: int = 40, *, seed: int) -> ProxyTables:
        """Gold rises up to about 1 nat, then falls below the base policy's: rare outputs that the proxy overrates."""
        return cls(*worlds.heavy_error(n_prompts, n_outputs, seed))

    @classmethod
    def never(cls, n_prompts: int = 200, n_outputs: int = 64, *, seed: int) -> ProxyTables:
        """No threshold: gold and error are independent under every tilt. ``n_outputs`` is a square number."""
        return cls(*worlds.independent(n_prompts, n_outputs, 1.0, seed))

    @classmethod
    def at_zero(cls, n_prompts: int = 200, n_outputs: int = 64, *, seed: int) -> ProxyTables:
        """The proxy harms from the start, and ever more. ``n_outputs`` is a square number."""
        return cls(*worlds.independent(n_prompts, n_outputs, -1.0, seed))

    @classmethod
    def two_peaks(cls, n_prompts: int = 200, n_outputs: int = 40, *, seed: int) -> ProxyTables:
        """Gold rises, dips, rises to a second and higher peak, and falls."""
        return cls(*worlds.two_peaks(n_prompts, n_outputs, seed))

    @classmethod
    def binary(cls, n_prompts: int = 200, n_outputs: int = 24, *, seed: int) -> ProxyTables:
        """Gold 0 or 1, proxy a share of ten tests with ties; a quarter of the prompts never succeed; hacked."""
        return cls(*worlds.binary(n_prompts, n_outputs, seed))

    def with_error(self, scale: float) -> ProxyTables:
        """The same world with the proxy's error times ``scale``: proxy = gold + scale (proxy - gold)."""
        return type(self)(self.base, self.gold, self.gold + scale * (self.proxy - self.gold))

    # The gap and the regret at one beta.

    @cached_property
    def _error(self) -> Array:
        return below_top(self.base, self.proxy - self.gold)

    def gap(self, beta: ArrayLike) -> Array:
        """E r of the policy tilted by gold less that of the policy tilted by the proxy, both at ``beta``.

        Raises:
            InputError: a beta is not above 0.
        """
        t = 1.0 / _betas(beta)
        gold = self._centred_gold
        return follow(self.base, gold, below_top(self.base, gold), t).gold_gain - self.gold_gain(t)

    def gap_by_path(self, beta: ArrayLike) -> Array:
        """The same by its path identity, -(1/beta) times the integral of Cov_pi_u(r, e)."""
        return self._each(beta, lambda b: -float(self._integrals(b)[0]) / b)

    def gap_bound(self, beta: ArrayLike) -> Array:
        """E_x[span_x(r) span_x(e)] / (4 beta), never less than the size of the gap."""
        spans = span(self.base, self.gold) * span(self.base, self._error)
        return np.asarray(spans.mean() / (4.0 * _betas(beta)))

    def regret(self, beta: ArrayLike) -> Array:
        """beta KL(pi_s || pi_r): what the proxy's optimum lacks of the best E r - beta KL(pi || base)."""
        return _betas(beta) * self.divergences(beta)[0]

    def regret_by_path(self, beta: ArrayLike) -> Array:
        """The same by its path identity, (1/beta) times the integral of u Var_pi_u(e)."""
        return self._each(beta, lambda b: float(self._integrals(b)[1]) / b)

    def regret_bound(self, beta: ArrayLike) -> Array:
        """E_x[span_x(e)^2] / (8 beta), never less than the regret."""
        return np.asarray((span(self.base, self._error) ** 2).mean() / (8.0 * _betas(beta)))

    def divergences(self, beta: ArrayLike) -> tuple[Array, Array]:
        """KL(pi_s || pi_r) and KL(pi_r || pi_s) of the policies tilted by proxy and gold."""
        p, r, s = self.base, self.gold, self.proxy
        there = self._each(beta, lambda b: divergence(p, s, r, 1.0 / b))
        return there, self._each(beta, lambda b: divergence(p, r, s, 1.0 / b))

    def error_shift(self, beta: ArrayLike) -> Array:
        """(E_pi_s[e] - E_pi_r[e]) / beta, the sum of the two divergences."""
        t = 1.0 / _betas(beta)
        gold = below_top(self.base, self.gold)
        by_proxy, by_gold = (
            follow(self.base, self._error, s, t).gold_gain for s in (self._shifted_proxy, gold)
        )
        return t * (by_proxy - by_gold)

    def _integrals(self, beta: float) -> Array:
        return along_errors(self.base, self._centred_gold, self._error, 1.0 / beta)

    def _each(self, beta: ArrayLike, function: Callable[[float], float]) -> Array:
        return np.asarray(np.vectorize(function, otypes=[float])(_betas(beta)))

    # Samples.

    @cached_property
    def _edges(self) -> Array:
        return cumulative(self.base)

    def sample(
        self,
        n_prompts: int | None,
        n_completions: int,
        *,
        seed: int,
        labelled: float = 1.0,
        by_prompt: bool = False,
        redraw_prompts: bool = True,
    ) -> Samples:
        """Samples of the base policy with rewards ``gold`` and ``proxy``, and the ``output`` drawn as metadata.

        Args:
            n_prompts: rows drawn with replacement, each draw a prompt of its own with its own id.
            n_completions: of each prompt.
            seed: of the random numbers; the completions do not depend on what is labelled.
            labelled: share of the completions whose gold reward is known, chosen at random; NaN for the others.
            by_prompt: label whole prompts instead.
            redraw_prompts: False takes every row once and in order; ``n_prompts`` is then their number, or None.

        Raises:
            InputError: a size is below 1, ``labelled`` is no share, or ``n_prompts`` not that of the rows where none
                are redrawn.
        """
        rng = np.random.default_rng(seed)
        rows = chosen_rows(rng, len(self.base), n_prompts, n_completions, redraw_prompts)
        outputs = draw_outputs(rng, self._edges, rows, n_completions)
        known = label_mask(rng, outputs.shape, labelled, by_prompt)
        gold = self.gold[rows[:, None], outputs]
        rewards = {"gold": np.where(known, gold, np.nan), "proxy": self.proxy[rows[:, None], outputs]}
        return base_samples(outputs, rewards, "proxy tables")


def _betas(beta: ArrayLike) -> Array:
    betas = np.asarray(beta, dtype=float)
    if not (betas > 0).all():
        raise InputError(f"beta={beta!r}: must be > 0")
    return betas


def chosen_rows(
    rng: np.random.Generator, n_rows: int, n_prompts: int | None, n_completions: int, redraw: bool
) -> NDArray[np.int64]:
    """Rows drawn with replacement, or all of them in order (see :meth:`ProxyTables.sample`)."""
    if not redraw and n_prompts not in (None, n_rows):
        raise InputError(
            f"n_prompts={n_prompts}: with redraw_prompts=False every row is taken once; give {n_rows}, or None"
        )
    prompts = n_rows if n_prompts is None else n_prompts
    if min(prompts, n_completions) < 1:
        raise InputError(f"n_prompts={prompts}, n_completions={n_completions}: both must be >= 1")
    return rng.integers(n_rows, size=prompts) if redraw else np.arange(n_rows)


def label_mask(
    rng: np.random.Generator, shape: tuple[int, ...], share: float, by_prompt: bool
) -> NDArray[np.bool_]:
    """Which completions have their gold reward: a random ``share`` of them, or of the prompts."""
    if not 0 <= share <= 1:
        raise InputError(f"labelled={share!r}: the share of completions with a gold reward is from 0 to 1")
    unit = (shape[0], 1) if by_prompt else shape
    size = int(np.prod(unit))
    known = np.arange(size) < round(share * size)
    return np.broadcast_to(rng.permutation(known).reshape(unit) if share < 1 else True, shape)


def base_samples(outputs: NDArray[np.int64], rewards: dict[str, Array], source: str) -> Samples:
    """Samples with the ``outputs`` drawn for each prompt and their rewards, all ``(n_prompts, n_completions)``."""
    n_prompts, n_completions = outputs.shape
    return Samples(
        rewards={name: np.ascontiguousarray(values).reshape(-1) for name, values in rewards.items()},
        offsets=np.arange(n_prompts + 1, dtype=np.int64) * n_completions,
        prompt_ids=np.arange(n_prompts),
        metadata={"output": outputs.reshape(-1)},
        source=source,
    )


def random_proxies(
    n_prompts: int, n_outputs: int, correlation: float = 0.5, tail: float = float("inf"), *, seed: int
) -> ProxyTables:
    """A random world: gold of :func:`random_tables`, and a proxy in a unit of its own.

    Args:
        n_prompts: rows.
        n_outputs: of each prompt.
        correlation: of gold and proxy over outputs, in expectation, -1 to 1 (for errors of finite variance).
        tail: degrees of freedom of the error's Student law: inf is normal, 3 heavy, 1 Cauchy.
        seed: of the random numbers.

    Raises:
        InputError: a size is below 1, ``correlation`` outside [-1, 1], or ``tail`` not above 0.
    """
    if not -1 <= correlation <= 1:
        raise InputError(f"correlation={correlation!r}: must be from -1 to 1")
    base, gold = random_tables(n_prompts, n_outputs, seed=seed)
    rng = np.random.default_rng([seed, 1])
    sd = gold.std(axis=1, keepdims=True)
    unit = np.divide(gold - gold.mean(axis=1, keepdims=True), sd, out=np.zeros_like(gold), where=sd > 0)
    error = worlds.error_law(rng, tail, base.shape)
    proxy = correlation * unit + np.sqrt(1.0 - correlation**2) * error
    scale, location = rng.uniform(0.5, 2.0, size=(n_prompts, 1)), rng.standard_normal((n_prompts, 1))
    return ProxyTables(base, gold, location + scale * proxy)
