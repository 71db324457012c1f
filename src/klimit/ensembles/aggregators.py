"""Aggregators by name: one reward from several members' rewards of the same completion.

``mean``, ``median``, ``min``, ``uwo:LAMBDA``, ``soft-min:TAU``, ``quantile:Q``, ``log-sigmoid-centred``,
``weighted:W1,W2``. Each is a plain function of an array ``(members, ...)``, computed completion by completion.
Rewards of different members have no common unit: standardise them before (:func:`klimit.ensemble` does, within
prompts).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from klimit.ensembles import combine
from klimit.ensembles.combine import Array
from klimit.errors import InputError

AGGREGATORS = ("mean", "median", "min", "uwo", "soft-min", "quantile", "log-sigmoid-centred", "weighted")
FORMS = (
    "mean, median, min, uwo:LAMBDA or uwo:LAMBDA,DDOF, soft-min:TAU, quantile:Q, log-sigmoid-centred, "
    "log-sigmoid-centred:CENTRE or log-sigmoid-centred:CENTRE,sum, weighted:W1,W2,..."
)


@dataclass(frozen=True)
class Aggregator:
    """An aggregator, as :func:`parse_aggregator` makes it.

    Attributes:
        name: its text, in one form: aggregators of one name are the same.
        meaning: what the aggregate is, in a few words.
        function: members' rewards ``(members, ...)`` float64 to the aggregate ``(...)`` float64.
        fewest: members that it needs.
        given: the weights, where it is a weighted sum of a fixed number of members.
    """

    name: str
    meaning: str
    function: Callable[[Array], Array] = field(compare=False)
    fewest: int = 1
    given: tuple[float, ...] | None = None

    def __str__(self) -> str:
        return self.name

    def __call__(self, members: ArrayLike) -> Array:
        """The aggregate of members' rewards ``(members, ...)``, of shape ``(...)``.

        Raises:
            InputError: too few members, or a reward that is not finite.
        """
        array = _checked(members)
        if len(array) < self.fewest or (self.given is not None and len(array) != len(self.given)):
            needs = f"{len(self.given)}" if self.given is not None else f"at least {self.fewest}"
            raise InputError(f"aggregate={self.name!r} needs {needs} members; there are {len(array)}")
        return self.function(array)

    def weights(self, n_members: int) -> Array | None:
        """The weights ``(n_members,)`` where it is linear in its members, else None."""
        if self.given is not None:
            return np.array(self.given)
        return np.full(n_members, 1 / n_members) if self.name == "mean" else None


def aggregate(members: ArrayLike, how: str | Aggregator = "mean") -> Array:
    """One reward from several, completion by completion: a plain function, for use in training as well.

    Args:
        members: rewards of each member, ``(members, ...)``, in a common unit.
        how: see :func:`parse_aggregator`.

    Returns:
        The aggregate, ``(...)`` float64.

    Raises:
        InputError: no such aggregator, too few members, or a reward that is not finite.
    """
    return parse_aggregator(how)(members)


def parse_aggregator(text: str | Aggregator) -> Aggregator:
    """The aggregator that a text names.

    ``mean``, ``median``, ``min`` (worst case), ``quantile:Q`` (linear between order statistics);
    ``uwo:LAMBDA``: mean less ``LAMBDA`` times the variance over members (Coste et al., arXiv:2310.02743), that
    variance with ``ddof=0``, or another: ``uwo:LAMBDA,1``; ``soft-min:TAU``: ``-TAU log mean exp(-s / TAU)``
    (arXiv:2606.09073), between min (``TAU`` to 0) and mean (to infinity); ``log-sigmoid-centred``: mean of
    ``log sigmoid(s - c)`` (Wang et al., arXiv:2402.00742), with the centre ``c`` = 0, a prompt's base mean
    where members are standardised; ``log-sigmoid-centred:C``; the paper's sum over members instead of their
    mean: ``log-sigmoid-centred:C,sum``; ``weighted:W1,W2,...``: the sum of ``W_k s_k``, one weight a member.

    Raises:
        InputError: there is no such aggregator, or its numbers are missing or cannot be.
    """
    if isinstance(text, Aggregator):
        return text
    if not isinstance(text, str):
        raise InputError(f"aggregate={text!r}: give a name: {FORMS}")
    name, colon, rest = (part.strip() for part in text.partition(":"))
    if name not in AGGREGATORS:
        near = difflib.get_close_matches(name.lower(), AGGREGATORS, n=1, cutoff=0.6)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"aggregate={text!r}: there is no such aggregator{meant}; choose {FORMS}")
    if name in _PLAIN:
        if colon:
            raise InputError(f"aggregate={text!r}: {name!r} takes no number; write aggregate={name!r}")
        return _PLAIN[name]
    return _WITH_NUMBERS[name](text, [part.strip() for part in rest.split(",")] if rest else [])


def weighted_by(weights: ArrayLike) -> Aggregator:
    """The aggregator of given weights, one a member, without rounding."""
    given = tuple(float(one) for one in np.asarray(weights, dtype=np.float64).reshape(-1))
    name = f"weighted:{','.join(map(_shortest, given))}"
    return Aggregator(
        name, "a weighted sum of members", partial(combine.weighted, weights=given), given=given
    )


def _uwo(text: str, parts: list[str]) -> Aggregator:
    if not 1 <= len(parts) <= 2:
        raise InputError(f"aggregate={text!r}: give lambda, such as uwo:0.5 (and ddof, such as uwo:0.5,1)")
    weight = _number(text, parts[0])
    ddof = _number(text, parts[1]) if len(parts) == 2 else 0.0
    if weight < 0 or ddof not in (0, 1):
        raise InputError(f"aggregate={text!r}: lambda cannot be negative, and ddof is 0 or 1")
    name = f"uwo:{_shortest(weight)}" + (",1" if ddof else "")
    meaning = f"mean less {_shortest(weight)} times the variance over members (ddof={int(ddof)})"
    return Aggregator(
        name, meaning, partial(combine.uwo, weight=weight, ddof=int(ddof)), fewest=1 + int(ddof)
    )


def _soft_min(text: str, parts: list[str]) -> Aggregator:
    tau = _number(text, parts[0]) if len(parts) == 1 else float("nan")
    if not tau > 0:
        raise InputError(f"aggregate={text!r}: give tau, a number above 0, such as soft-min:0.1")
    name = _shortest(tau)
    return Aggregator(
        f"soft-min:{name}",
        f"-tau log mean exp(-s / tau), tau = {name}",
        partial(combine.soft_minimum, tau=tau),
    )


def _quantile(text: str, parts: list[str]) -> Aggregator:
    q = _number(text, parts[0]) if len(parts) == 1 else float("nan")
    if not 0 <= q <= 1:
        raise InputError(f"aggregate={text!r}: give a quantile from 0 to 1, such as quantile:0.25")
    return Aggregator(
        f"quantile:{_shortest(q)}", f"the {_shortest(q)} quantile of members", partial(combine.quantile, q=q)
    )


def _log_sigmoid(text: str, parts: list[str]) -> Aggregator:
    if len(parts) > 2 or (len(parts) == 2 and parts[1] not in ("sum", "mean")):
        raise InputError(
            f"aggregate={text!r}: give a centre and sum or mean, such as log-sigmoid-centred:0,sum"
        )
    centre = _number(text, parts[0]) if parts else 0.0
    total = len(parts) == 2 and parts[1] == "sum"
    name = "log-sigmoid-centred"
    if centre != 0 or total:
        name += f":{_shortest(centre)}" + (",sum" if total else "")
    meaning = f"{'sum' if total else 'mean'} of log sigmoid(s - {_shortest(centre)})"
    return Aggregator(name, meaning, partial(combine.log_sigmoid_centred, centre=centre, total=total))


def _weighted(text: str, parts: list[str]) -> Aggregator:
    if not parts:
        raise InputError(f"aggregate={text!r}: give one weight a member, such as weighted:0.7,0.3")
    weights = [_number(text, part) for part in parts]
    if not any(weights):
        raise InputError(f"aggregate={text!r}: every weight is 0")
    return weighted_by(weights)


_PLAIN = {
    "mean": Aggregator("mean", "the mean of members", combine.mean),
    "median": Aggregator("median", "the median of members", combine.median),
    "min": Aggregator("min", "the least of members", combine.minimum),
}
_WITH_NUMBERS: dict[str, Callable[[str, list[str]], Aggregator]] = {
    "uwo": _uwo,
    "soft-min": _soft_min,
    "quantile": _quantile,
    "log-sigmoid-centred": _log_sigmoid,
    "weighted": _weighted,
}


def _checked(members: ArrayLike) -> Array:
    try:
        array = np.asarray(members, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            "members' rewards must be numbers, one array (members, ...), all of one length"
        ) from None
    if array.ndim < 1 or not len(array):
        raise InputError(f"members' rewards have shape {array.shape}; give one row a member")
    bad: Any = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = f"member {bad[0][0]}" + (f", completion {bad[0][1]}" if array.ndim > 1 else "")
        raise InputError(
            f"members' rewards: {len(bad):,} missing or infinite (first: {where}); give finite ones"
        )
    return array


def _number(text: str, part: str) -> float:
    try:
        number = float(part)
    except ValueError:
        number = float("nan")
    if not math.isfinite(number):
        raise InputError(f"aggregate={text!r}: {part!r} is no finite number")
    return number


def _shortest(number: float) -> str:
    return repr(float(number)).removesuffix(".0")
