"""What a page is asked to show, checked before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from klimit.audits import divergence
from klimit.audits.checkpoints import named_policies
from klimit.audits.same import check_sources
from klimit.ensembles.collocation import FEWEST
from klimit.ensembles.inputs import check_names
from klimit.errors import InputError
from klimit.limit.options import check_number, check_options
from klimit.reports.page.wording import about_policies

_READING = ("prompt", "where", "lower_is_better")
_SCORES = ("logprob", "ref_logprob", "token_kl", "sampling_logprob", "truncated")
_AUDITING = ("by", "shared_prompts", "kl_estimator", "token_means")


@dataclass(frozen=True)
class Question:
    """What a page is asked to show.

    Attributes:
        base: the base samples, as :func:`klimit.read_samples` takes them.
        policies: samples of policies by name, as :func:`klimit.audit` takes them.
        reward: the reward of the limit, where there is no gold.
        proxies: rewards that are optimised in place of gold.
        gold: the reward that is meant.
        title: of the page; by default the reward and what it was read from.
        level: nominal cover of the intervals.
        seed: of the random blocks, subsets and folds.
        reward_max: the largest reward there is, if known.
        subsets: of members of one size that are asked what optimising them does to gold; 0 for none.
        min_completions: prompts with fewer base completions are left out.
        reading: options of :func:`klimit.read_samples` for the base samples: ``prompt``, ``where``,
            ``lower_is_better``.
        policy_reading: the same for the policies.
        auditing: further options of :func:`klimit.audit`.
    """

    base: Any
    policies: Mapping[str, Any] = field(default_factory=dict)
    reward: str | None = None
    proxies: tuple[str, ...] = ()
    gold: str | None = None
    title: str | None = None
    level: float = 0.95
    seed: int = 0
    reward_max: float | None = None
    subsets: int = 5
    min_completions: int = 1
    reading: Mapping[str, Any] = field(default_factory=dict)
    policy_reading: Mapping[str, Any] = field(default_factory=dict)
    auditing: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_options(
            budget="average",
            level=self.level,
            target="population",
            estimator="extrapolated",
            seed=self.seed,
        )
        for name, least in (("subsets", 0), ("min_completions", 1)):
            value = getattr(self, name)
            if check_number(name, value, positive=False) < least or int(value) != value:
                raise InputError(f"{name}={value!r}: give a whole number of at least {least}")
        if self.title is not None and not (isinstance(self.title, str) and self.title.strip()):
            raise InputError(f"title={self.title!r}: give a title, or leave it out")
        self._check_rewards()
        self._check_auditing()

    @property
    def limit_reward(self) -> str | None:
        """The reward of the limit; None for the only one there is."""
        return self.reward if self.gold is None else self.gold

    @property
    def columns(self) -> list[str]:
        """The reward columns that every completion needs; none where the only reward is to be found."""
        wanted = [*self.proxies] if self.gold is not None else [*filter(None, [self.reward]), *self.proxies]
        return list(dict.fromkeys(wanted))

    def _check_rewards(self) -> None:
        if self.gold is not None and self.reward not in (None, self.gold):
            raise InputError(
                f"reward={self.reward!r} and gold={self.gold!r}: the limit is gold's; leave reward= (--reward) out"
            )
        if not self.proxies:
            return
        if len(self.proxies) > 1:
            check_names(self.proxies, self.gold)
        elif self.proxies[0] == self.gold:
            raise InputError(f"proxy and gold are both {self.gold!r}; name two rewards")
        if self.gold is not None:
            return
        if len(self.proxies) < FEWEST:
            raise InputError(
                f"proxy={list(self.proxies)!r} without gold: name the reward that is meant with gold= (--gold); "
                f"without it only {FEWEST} proxies or more can be judged, by their agreement"
            )
        if self.reward is None:
            raise InputError(
                "proxies without gold: name the reward whose limit is wanted with reward= (--reward), or the reward "
                "that is meant with gold= (--gold)"
            )

    def _check_auditing(self) -> None:
        if not self.policies:
            given = {**self.policy_reading, **self.auditing}
            unused = next((name for name, value in given.items() if value not in (None, False)), None)
            if unused is not None:
                option = unused if unused != "where" else "policy_where"
                raise InputError(
                    f"{option}= is about policies, and none is given: name them with policies= (--policy)"
                )
        with about_policies():
            check_sources(
                self.policies.values(),
                self.base,
                where=self.policy_reading.get("where"),
                base_where=self.reading.get("where"),
                by=self.auditing.get("by"),
            )
        asked = self.auditing.get("kl_estimator")
        if asked is not None and asked not in divergence.ESTIMATORS:
            raise InputError(
                f"kl_estimator={asked!r}: choose one of {', '.join(map(repr, divergence.ESTIMATORS))}"
            )


def question(base: Any, *, policies: Any = (), proxy: Any = (), **options: Any) -> Question:
    """The question behind the arguments of :func:`klimit.report`, which has the options.

    Raises:
        InputError: they contradict each other, or cannot be.
    """

    def taken(names: Iterable[str]) -> dict[str, Any]:
        return {name: options.pop(name, None) for name in names}

    reading, auditing = taken(_READING), taken(_AUDITING)
    of_policies = {"where": options.pop("policy_where", None), **taken(_SCORES)}
    return Question(
        base=base,
        policies=as_policies(policies),
        proxies=as_proxies(proxy),
        reading=reading,
        policy_reading=of_policies,
        auditing={**auditing, "shared_prompts": bool(auditing["shared_prompts"])},
        **options,
    )


def as_policies(policies: Any) -> dict[str, Any]:
    """The policies by name; none where none is given."""
    if policies is None or (isinstance(policies, Mapping | list | tuple) and not policies):
        return {}
    return named_policies(policies)


def as_proxies(proxy: str | Sequence[str] | None) -> tuple[str, ...]:
    """The proxies' columns.

    Raises:
        InputError: they are no names.
    """
    names = () if proxy is None else (proxy,) if isinstance(proxy, str) else tuple(proxy)
    for name in names:
        if not isinstance(name, str) or not name:
            raise InputError(f"proxy={proxy!r}: give the name of a reward column, or a list of names")
    return names
