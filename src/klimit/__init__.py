"""klimit: how much reward any alignment method can buy for a given KL from the base model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from klimit import selectors as selectors
    from klimit import testsystems as testsystems
    from klimit.audits.audit import audit as audit
    from klimit.audits.result import Audit as Audit
    from klimit.audits.result import Audits as Audits
    from klimit.ensembles.ensemble import ensemble as ensemble
    from klimit.ensembles.result import Ensemble as Ensemble
    from klimit.errors import InputError as InputError
    from klimit.errors import KlimitWarning as KlimitWarning
    from klimit.experiments.run import Experiment as Experiment
    from klimit.experiments.run import experiment as experiment
    from klimit.limit.frontier import frontier as frontier
    from klimit.limit.result import Frontier as Frontier
    from klimit.models.logprob import logprob as logprob
    from klimit.models.prompt_sets import prompts as prompts
    from klimit.models.sample import sample as sample
    from klimit.models.score import score as score
    from klimit.policies import best_of_n as best_of_n
    from klimit.policies import best_of_poisson as best_of_poisson
    from klimit.policies import rejection_sampling as rejection_sampling
    from klimit.policies import soft_best_of_n as soft_best_of_n
    from klimit.proxies.hacking import hacking as hacking
    from klimit.proxies.result import Hacking as Hacking
    from klimit.reports.page.report import Report as Report
    from klimit.reports.page.report import report as report
    from klimit.samples import Samples as Samples
    from klimit.samples import read_samples as read_samples
    from klimit.streams.summarise import summarise as summarise
    from klimit.training.train import train as train
    from klimit.values import Value as Value

# Where each public name lives; loaded when first used, so that `import klimit` stays light.
_HOMES = {
    "Audit": "klimit.audits.result",
    "Audits": "klimit.audits.result",
    "Ensemble": "klimit.ensembles.result",
    "Experiment": "klimit.experiments.run",
    "Frontier": "klimit.limit.result",
    "Hacking": "klimit.proxies.result",
    "InputError": "klimit.errors",
    "KlimitWarning": "klimit.errors",
    "Report": "klimit.reports.page.report",
    "Samples": "klimit.samples",
    "Value": "klimit.values",
    "audit": "klimit.audits.audit",
    "best_of_n": "klimit.policies",
    "best_of_poisson": "klimit.policies",
    "ensemble": "klimit.ensembles.ensemble",
    "experiment": "klimit.experiments.run",
    "frontier": "klimit.limit.frontier",
    "hacking": "klimit.proxies.hacking",
    "logprob": "klimit.models.logprob",
    "prompts": "klimit.models.prompt_sets",
    "read_samples": "klimit.samples",
    "rejection_sampling": "klimit.policies",
    "report": "klimit.reports.page.report",
    "sample": "klimit.models.sample",
    "score": "klimit.models.score",
    "soft_best_of_n": "klimit.policies",
    "summarise": "klimit.streams.summarise",
    "train": "klimit.training.train",
}
_MODULES = ("selectors", "testsystems")

__all__ = [
    "Audit",
    "Audits",
    "Ensemble",
    "Experiment",
    "Frontier",
    "Hacking",
    "InputError",
    "KlimitWarning",
    "Report",
    "Samples",
    "Value",
    "audit",
    "best_of_n",
    "best_of_poisson",
    "ensemble",
    "experiment",
    "frontier",
    "hacking",
    "logprob",
    "prompts",
    "read_samples",
    "rejection_sampling",
    "report",
    "sample",
    "score",
    "selectors",
    "soft_best_of_n",
    "summarise",
    "testsystems",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"klimit.{name}")
    raise AttributeError(f"module 'klimit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
