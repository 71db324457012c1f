"""Distributions of rewards whose limit is known: one object draws samples and says the truth about them."""

from klimit.testsystems.base import Curve, TestSystem
from klimit.testsystems.binary import Bernoulli, BetaBernoulli
from klimit.testsystems.continuous import Exponential, Gaussian, Uniform
from klimit.testsystems.densities import BetaRewards, GaussianMixture
from klimit.testsystems.discrete import Discrete, Tables
from klimit.testsystems.policies import PolicyTables
from klimit.testsystems.policy_making import random_tables
from klimit.testsystems.proxies import ProxyTables, random_proxies
from klimit.testsystems.proxy_ensembles import EnsembleTables, random_ensemble
from klimit.testsystems.registry import systems

__all__ = [
    "Bernoulli",
    "BetaBernoulli",
    "BetaRewards",
    "Curve",
    "Discrete",
    "EnsembleTables",
    "Exponential",
    "Gaussian",
    "GaussianMixture",
    "PolicyTables",
    "ProxyTables",
    "Tables",
    "TestSystem",
    "Uniform",
    "random_ensemble",
    "random_proxies",
    "random_tables",
    "systems",
]
