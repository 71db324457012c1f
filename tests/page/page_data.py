"""Samples for pages: a base policy with three policies; with proxies and gold; hostile names; odd data."""

import warnings
from functools import cache

import numpy as np
import pandas as pd

from klimit.errors import KlimitWarning
from klimit.reports.page.report import Report, report
from klimit.testsystems import PolicyTables, random_ensemble, random_tables

BASE, LEVELS = random_tables(120, 24, n_levels=6, seed=1)
SPREAD = np.exp(np.random.default_rng(0).normal(-0.7, 1.2, 120))
POLICIES = {
    "grpo": PolicyTables.noisy(BASE, LEVELS, 0.4, 1.5, seed=1),
    "ppo": PolicyTables.misallocated(BASE, LEVELS, SPREAD),
    "dpo": PolicyTables.tilted(BASE, LEVELS, 0.4),
}
SCRIPT = "<script>window.hacked = true</script>"
IMAGE = "\"'><img src=x onerror='window.hacked = true'>"
LONG = "a_name_of_eighty_letters_that_goes_on_and_on_and_tells_the_whole_story_of_it_"
TEMPLATE = "{{ 7 * 7 }} %{x} ${7*7} &amp; </script>"


def _frame(samples, *, scored=False):
    names = np.array([f"p{i:03d}" for i in range(samples.n_prompts)])
    columns = {"prompt": np.repeat(names, samples.counts), "reward": samples.rewards["reward"]}
    if scored:
        columns |= {"logprob": samples.logprob, "ref_logprob": samples.ref_logprob}
    return pd.DataFrame(columns)


@cache
def frames(n_prompts=60, n=64):
    """The base policy's samples, and those of three policies by name."""
    drawn = {name: system.sample(n_prompts, n, 96, seed=3) for name, system in POLICIES.items()}
    base = _frame(drawn["grpo"][1])
    return base, {name: _frame(policy, scored=True) for name, (policy, _) in drawn.items()}


@cache
def members():
    """Base samples with gold and three proxies that share errors."""
    samples = random_ensemble(60, 24, 3, shared=0.4, seed=1).sample(60, 32, seed=2)
    return pd.DataFrame(
        {
            "prompt": np.repeat(np.arange(samples.n_prompts), samples.counts),
            **{name: np.asarray(values) for name, values in samples.rewards.items()},
        }
    )


@cache
def with_policies() -> Report:
    base, policies = frames()
    return report(base, policies=policies, reward_max=float(base.reward.max()))


@cache
def with_ensemble() -> Report:
    table = members()
    proxies = [name for name in table.columns if name not in ("prompt", "gold")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        return report(table, proxy=proxies, gold="gold", subsets=2)


@cache
def hostile() -> Report:
    """Names that would run as code where they are not taken as text."""
    base, policies = frames(20, 16)
    names = {"p000": SCRIPT, "p001": IMAGE, "p002": TEMPLATE, "p003": '=HYPERLINK("http://evil")'}
    column = f"reward {SCRIPT}{IMAGE}"

    def renamed(frame):
        return frame.assign(prompt=frame.prompt.replace(names)).rename(columns={"reward": column})

    return report(
        renamed(base),
        policies={f"{IMAGE} {TEMPLATE}": renamed(policies["grpo"]), SCRIPT: renamed(policies["ppo"])},
        reward=column,
        title=f"{SCRIPT} {TEMPLATE}",
    )


@cache
def odd() -> Report:
    """Long names, a policy far beyond the horizon, one of unknown KL, best-of-N up to the axis' end."""
    base, policies = frames(40, 32)
    noise = np.random.default_rng(0)
    proxies = {f"{LONG}{i}": base.reward + noise.normal(0, 0.3 + 0.4 * i, len(base)) for i in (1, 2)}
    far = policies["dpo"].assign(ref_logprob=policies["dpo"].ref_logprob - 30)

    def renamed(frame):
        return frame.rename(columns={"reward": f"{LONG}G"})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        return report(
            renamed(base.assign(**proxies)),
            policies={
                f"{LONG}far": renamed(far),
                "unscored": renamed(policies["grpo"][["prompt", "reward"]]),
            },
            gold=f"{LONG}G",
            proxy=list(proxies),
            subsets=0,
        )
