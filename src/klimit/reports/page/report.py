"""One self-contained page of all that samples say of a base policy; see :func:`report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from typing import Any

from klimit.reports.files import check_outputs, write_files
from klimit.reports.page.content import Content
from klimit.reports.page.gather import gather
from klimit.reports.page.question import question


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """A page, made by :func:`klimit.report`.

    Attributes:
        content: everything that the page shows, as results and tables.
    """

    content: Content

    @cached_property
    def html(self) -> str:
        """The page: one HTML file that needs no other, nor a network."""
        from klimit.reports.page.render import render

        return render(self.content)

    @property
    def data(self) -> bytes:
        """The page as the bytes of its file."""
        return self.html.encode("utf-8", "backslashreplace")  # a file's name may hold what UTF-8 does not

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page; the file is whole or not touched at all.

        Raises:
            InputError: it cannot be written.
        """
        name = fspath(path)
        check_outputs([name])
        write_files({name: self.data})

    def __repr__(self) -> str:
        return f"Report({self.content.title!r})"


def report(
    base: Any,
    *,
    policies: Any = (),
    reward: str | None = None,
    proxy: str | Sequence[str] = (),
    gold: str | None = None,
    title: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    reward_max: float | None = None,
    subsets: int = 5,
    min_completions: int = 1,
    prompt: str | list[str] | None = None,
    where: str | None = None,
    policy_where: str | None = None,
    by: str | None = None,
    shared_prompts: bool = False,
    kl_estimator: str | None = None,
    token_means: bool | None = None,
    logprob: str | None = None,
    ref_logprob: str | None = None,
    token_kl: str | None = None,
    sampling_logprob: str | None = None,
    truncated: str | None = None,
    lower_is_better: bool = False,
) -> Report:
    """Make one page of the limit, best-of-N, policies, proxies and an ensemble of them, with every number behind it.

    Each answer is that of the function that gives it alone, at the same options: :func:`klimit.frontier`,
    :func:`klimit.best_of_n`, :func:`klimit.audit`, :func:`klimit.hacking` for each proxy, :func:`klimit.ensemble` of
    two proxies or more, and :func:`klimit.proxies.by_members.hacking_by_members`. The limit is that of ``gold``, where
    it is given, and policies are audited against the same limit.

    A proxy that cannot be optimised (it never varies within a prompt, say), or proxies that make no ensemble, do not
    cost the rest: a note on the page says what is missing and why. All else that cannot be is an error, and so it is if
    no proxy can be optimised.

    Args:
        base: completions of the base policy with their rewards, as for :func:`klimit.frontier`.
        policies: samples of policies with their log-probabilities, as for :func:`klimit.audit`: a mapping from names, a
            list, or one.
        reward: the reward of the limit, where there is no gold.
        proxy: a reward that is optimised in place of gold, or several. Without gold three or more are judged by their
            agreement alone.
        gold: the reward that is meant; it may be missing for a part of the completions, as for :func:`klimit.hacking`.
        title: of the page.
        level: nominal cover of the intervals, which are about the population of prompts.
        seed: of random blocks of samples, subsets and folds.
        reward_max: the largest reward there is, if known.
        subsets: of each number of members whose gap and threshold are asked; 0 for none.
        min_completions: prompts with fewer base completions are left out.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows of the base samples, when reading.
        policy_where: the same for the policies.
        by: a column that tells policies in one file apart, such as ``"step"``.
        shared_prompts: keep only the prompts that base and policies share; by default they must be the same.
        kl_estimator: of the policies' KL; see :func:`klimit.audit`.
        token_means: whether log-probabilities are means over tokens; see :func:`klimit.audit`.
        logprob: column of log-probabilities under the policy.
        ref_logprob: the same under the reference.
        token_kl: column of exact next-token KLs.
        sampling_logprob: column of the policy's log-probabilities by the engine that sampled.
        truncated: column that says which of the policies' completions were cut at the token limit.
        lower_is_better: rewards are costs, when reading.

    Returns:
        The page, as :attr:`Report.html` and :meth:`Report.save`, and what it shows, :attr:`Report.content`.

    Raises:
        InputError: samples or options cannot be used; see the functions above.

    Warns:
        KlimitWarning: a part is missing, or the samples cannot support part of an answer; the page says so as well.
    """
    asked = question(
        base,
        policies=policies,
        reward=reward,
        proxy=proxy,
        gold=gold,
        title=title,
        level=level,
        seed=seed,
        reward_max=reward_max,
        subsets=subsets,
        min_completions=min_completions,
        prompt=prompt,
        where=where,
        policy_where=policy_where,
        by=by,
        shared_prompts=shared_prompts,
        kl_estimator=kl_estimator,
        token_means=token_means,
        logprob=logprob,
        ref_logprob=ref_logprob,
        token_kl=token_kl,
        sampling_logprob=sampling_logprob,
        truncated=truncated,
        lower_is_better=lower_is_better,
    )
    return Report(gather(asked))
