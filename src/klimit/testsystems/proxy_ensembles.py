"""Several proxies of one gold reward, as tables: errors of known covariance, shared or not, and samples.

With error variance sd^2 of which a fraction f is shared by all proxies, the mean of K of them has the error variance
sd^2 (f + (1 - f) / K): the 1/K law, with its floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.roots import Array
from klimit.samples.container import Samples
from klimit.testsystems.policy_making import random_tables
from klimit.testsystems.policy_samples import cumulative, draw_outputs
from klimit.testsystems.proxies import ProxyTables, base_samples, chosen_rows, label_mask


@dataclass(frozen=True, eq=False, repr=False)
class EnsembleTables:
    """A base policy, a gold reward and several proxies as tables.

    >>> world = random_ensemble(200, 40, 4, 1.0, 0.3, seed=1)
    >>> world.error_variance()  # of the mean of all four: 0.3 + 0.7 / 4
    >>> world.combined().threshold, world.member(0).threshold
    >>> samples = world.sample(300, 64, seed=2)  # rewards "gold", "proxy_1" to "proxy_4"

    Attributes:
        base: probabilities of the base policy, ``(P, K)``.
        gold: the reward that is meant, ``(P, K)``.
        proxies: one table a proxy, ``(members, P, K)``.

    Raises:
        InputError: a table is not ``(P, K)``, shapes differ, a value is not finite, or rows do not sum to 1.
    """

    base: NDArray[Any]
    gold: NDArray[Any]
    proxies: NDArray[Any]

    def __post_init__(self) -> None:
        proxies = np.array(self.proxies, dtype=float)
        if proxies.ndim != 3 or not len(proxies):
            raise InputError(f"proxies: shape {proxies.shape}; they must be (members, prompts, outputs)")
        checked = [ProxyTables(self.base, self.gold, proxy) for proxy in proxies]
        proxies.setflags(write=False)
        for name, table in (("base", checked[0].base), ("gold", checked[0].gold), ("proxies", proxies)):
            object.__setattr__(self, name, table)

    def __repr__(self) -> str:
        members, prompts, outputs = self.proxies.shape
        return f"EnsembleTables({members} proxies, {prompts} prompts, {outputs} outputs)"

    @property
    def names(self) -> tuple[str, ...]:
        """Reward columns of the proxies in the samples: ``proxy_1`` and so on."""
        return tuple(f"proxy_{i + 1}" for i in range(len(self.proxies)))

    def member(self, index: int) -> ProxyTables:
        """The world with one of the proxies."""
        return ProxyTables(self.base, self.gold, self.proxies[index])

    def combined(self, weights: ArrayLike | None = None) -> ProxyTables:
        """The world whose proxy is the weighted sum of the proxies; their mean if no weights are given.

        Raises:
            InputError: there is not one finite weight a proxy.
        """
        return ProxyTables(self.base, self.gold, np.tensordot(self._weights(weights), self.proxies, axes=1))

    def _weights(self, weights: ArrayLike | None) -> Array:
        members = len(self.proxies)
        given = np.full(members, 1.0 / members) if weights is None else np.asarray(weights, dtype=float)
        if given.shape != (members,) or not np.isfinite(given).all():
            raise InputError(f"weights={weights!r}: give one finite number for each of {members} proxies")
        return given

    @cached_property
    def covariance(self) -> Array:
        """Covariance within prompts under the base policy of gold and all proxies, ``(1 + members, 1 + members)``."""
        values = np.concatenate([self.gold[None], self.proxies])
        d = values - exact.mean_reward(self.base, values)[..., None]
        return np.asarray(np.einsum("xk,ixk,jxk->ij", self.base, d, d, optimize=True) / len(self.base))

    @cached_property
    def error_covariance(self) -> Array:
        """The same of the errors, proxy less gold, ``(members, members)``."""
        c = self.covariance
        return np.asarray(c[1:, 1:] - c[1:, :1] - c[:1, 1:] + c[0, 0])

    def error_variance(self, weights: ArrayLike | None = None) -> float:
        """Error variance of the weighted proxies, their weights made to sum to 1; of the mean if none are given.

        Raises:
            InputError: there is not one finite weight a proxy, or they sum to 0.
        """
        given = self._weights(weights)
        if given.sum() == 0:
            raise InputError(f"weights={weights!r}: they sum to 0")
        share = given / given.sum()
        return float(share @ self.error_covariance @ share)

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
        """Samples of the base policy with the rewards ``gold`` and :attr:`names`; see :meth:`ProxyTables.sample`."""
        rng = np.random.default_rng(seed)
        rows = chosen_rows(rng, len(self.base), n_prompts, n_completions, redraw_prompts)
        outputs = draw_outputs(rng, cumulative(self.base), rows, n_completions)
        known = label_mask(rng, outputs.shape, labelled, by_prompt)
        index = (rows[:, None], outputs)
        proxies = {name: proxy[index] for name, proxy in zip(self.names, self.proxies, strict=True)}
        return base_samples(
            outputs, {"gold": np.where(known, self.gold[index], np.nan), **proxies}, "ensemble tables"
        )


def random_ensemble(
    n_prompts: int,
    n_outputs: int,
    members: int,
    error_sd: ArrayLike = 1.0,
    shared: float = 0.0,
    *,
    seed: int,
    exact_moments: bool = True,
) -> EnsembleTables:
    """Gold of :func:`random_tables` and proxies with normal errors, a fraction of whose variance all share.

    Args:
        n_prompts: rows.
        n_outputs: of each prompt.
        members: proxies.
        error_sd: standard deviation of their errors within a prompt; one, or one a member.
        shared: fraction of the error variance that all members have in common, 0 to 1.
        seed: of the random numbers.
        exact_moments: the errors have that covariance, and none with gold, exactly and in every prompt (under the base
            policy); otherwise in expectation, as in a sample of reward models.

    Raises:
        InputError: a size is below 1, ``shared`` is no fraction, an ``error_sd`` is negative or not finite, or there
            are too few outputs (members + 3) for exact moments.
    """
    if members < 1:
        raise InputError(f"members={members}: at least one proxy")
    if not 0 <= shared <= 1:
        raise InputError(f"shared={shared!r}: the fraction of the error variance in common is from 0 to 1")
    sd = np.asarray(error_sd, dtype=float)
    if sd.shape not in ((), (members,)) or not ((sd >= 0) & np.isfinite(sd)).all():
        raise InputError(
            f"error_sd={error_sd!r}: give one finite number >= 0, or one for each of {members} members"
        )
    if exact_moments and n_outputs < members + 3:
        raise InputError(
            f"n_outputs={n_outputs}: exact moments of {members} errors need at least {members + 3} outputs; "
            "or set exact_moments=False"
        )
    base, gold = random_tables(n_prompts, n_outputs, seed=seed)
    unit = np.random.default_rng([seed, 2]).standard_normal((members + 1, *base.shape))
    if exact_moments:
        unit = _uncorrelated(base, gold, unit)
    errors = np.sqrt(shared) * unit[0] + np.sqrt(1.0 - shared) * unit[1:]
    return EnsembleTables(base, gold, gold + np.broadcast_to(sd, members)[:, None, None] * errors)


def _uncorrelated(base: Array, gold: Array, unit: Array) -> Array:
    """``unit`` made, prompt by prompt, of mean 0, variance 1, and without correlation among them or with gold."""
    root = np.sqrt(base)[:, :, None]
    centred = gold - exact.mean_reward(base, gold)[:, None]
    columns = np.concatenate([np.ones_like(base)[None], centred[None], unit]).transpose(1, 2, 0)
    q = np.linalg.qr(root * columns)[0][:, :, 2:]
    return np.asarray(np.divide(q, root, out=np.zeros_like(q), where=root > 0).transpose(2, 0, 1))
