"""Ensembles: several proxy rewards as one, and what that saves."""

from klimit.ensembles.aggregators import AGGREGATORS, Aggregator, aggregate, parse_aggregator, weighted_by
from klimit.ensembles.collocation import Collocation, Triple
from klimit.ensembles.ensemble import ensemble
from klimit.ensembles.errors import ErrorStructure
from klimit.ensembles.law import MembersLaw
from klimit.ensembles.members import Subsets, all_sizes, subsets_of
from klimit.ensembles.one_factor import OverIdentification
from klimit.ensembles.result import Ensemble
from klimit.ensembles.reward_function import EnsembleReward, Scales
from klimit.ensembles.weights import BestWeights

__all__ = [
    "AGGREGATORS",
    "Aggregator",
    "BestWeights",
    "Collocation",
    "Ensemble",
    "EnsembleReward",
    "ErrorStructure",
    "MembersLaw",
    "OverIdentification",
    "Scales",
    "Subsets",
    "Triple",
    "aggregate",
    "all_sizes",
    "ensemble",
    "parse_aggregator",
    "subsets_of",
    "weighted_by",
]
