"""Steps that need no model: left out as a whole where their extra (``server``) is not installed."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

import pytest

for module in ("filelock", "pyarrow", "tqdm"):
    pytest.importorskip(module, reason="needs the extra server")

HEAVY = ("torch", "transformers", "datasets")


class _Refuse(MetaPathFinder):
    """Says of the extra ``lm`` that it is not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def without_lm(monkeypatch):
    """As where only the extra ``server`` is installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] in HEAVY]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Refuse(), *sys.meta_path])
