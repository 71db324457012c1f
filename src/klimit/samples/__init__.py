"""Samples: prompts, completions and their rewards, read from anywhere and checked at the door."""

from klimit.samples.container import Samples
from klimit.samples.lazy import LazyColumn
from klimit.samples.read import as_samples, read_samples

__all__ = ["LazyColumn", "Samples", "as_samples", "read_samples"]
