"""Hacking and ensembles of worlds known exactly, good and odd; and the same with some values put in by hand."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np

import klimit
from klimit.proxies.by_members import HackingByMembers, hacking_by_members
from klimit.proxies.result import Hacking
from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.hacking.findings import HackingFindings
from klimit.samples import Samples
from klimit.testsystems import ProxyTables, random_ensemble
from klimit.values import Value

WORLDS = ("heavy_error", "never", "at_zero", "two_peaks", "binary")
ODD = (
    "labelled",
    "few labels",
    "few prompts",
    "few completions",
    "no bearing",
    "copy",
    "large",
    "small",
    "ragged",
)
HACKED = (*WORLDS, *ODD)
MEMBERS = ("shared", "independent", "two", "unequal", "without gold", "without subsets", "few prompts")


@cache
def scored(name: str) -> Samples:
    if name in WORLDS:
        return getattr(ProxyTables, name)(seed=1).sample(100, 64, seed=2)
    world = ProxyTables.heavy_error(seed=1)
    if name in ("labelled", "few labels"):
        return world.sample(200, 64, seed=2, labelled=0.25 if name == "labelled" else 0.05)
    if name.startswith("few "):
        return world.sample(6, 64, seed=2) if name == "few prompts" else world.sample(100, 16, seed=2)
    plain = world.sample(60, 32, seed=2)
    proxy, gold = plain.rewards["proxy"], plain.rewards["gold"]
    if name == "ragged":
        return plain.rows(np.random.default_rng(0).random(plain.n_completions) < 0.8)
    if name == "no bearing":
        proxy = np.random.default_rng(0).normal(size=len(gold))
    elif name == "copy":
        proxy = gold
    else:
        scale = 1e9 if name == "large" else 1e-9
        proxy, gold = scale * proxy, scale * gold
    return replace(plain, rewards={"proxy": proxy, "gold": gold})


def hacking_of(samples: Samples, **options: object) -> Hacking:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        return klimit.hacking(samples, proxy="proxy", gold="gold", **options)


@cache
def hacked(name: str) -> HackingFindings:
    return HackingFindings(hacking_of(scored(name)))


def by_hand(name: str = "heavy_error", **values: object) -> HackingFindings:
    """Findings of a world with some values of the result put in by hand; a triple is a value."""
    known = {key: Value(*value) if isinstance(value, tuple) else value for key, value in values.items()}
    return HackingFindings(replace(hacked(name).found, **known))


@cache
def members(name: str) -> EnsembleFindings:
    shared = 0.0 if name == "independent" else 0.5
    sd = [0.3, 3.0, 3.0, 3.0] if name == "unequal" else 1.5
    world = random_ensemble(100, 30, 4, sd, shared, seed=4)
    samples = world.sample(6 if name == "few prompts" else 120, 48, seed=3)
    names = world.names[:2] if name == "two" else world.names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        found = klimit.ensemble(samples, proxies=names, gold=None if name == "without gold" else "gold")
        subsets: HackingByMembers | None = None
        if name not in ("without gold", "without subsets"):
            subsets = hacking_by_members(found, most=2)
    return EnsembleFindings(found, subsets)
