"""Python functions by the names that users give: ``package.module:function``, the current folder included."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

from klimit.errors import InputError


def find_function(name: str) -> Callable[..., Any]:
    """The function of ``package.module:function``.

    Raises:
        InputError: no such module or function, the module fails, or what is there cannot be called.
    """
    module, _, path = name.partition(":")
    try:
        found: Any = _module(module)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (module == missing or module.startswith(f"{missing}.")):
            raise InputError(
                f"{name}: no module {missing!r}, neither installed nor in the current folder"
            ) from None
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: the module cannot be imported ({type(error).__name__}: {said})") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise InputError(f"{name}: {module} has no {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise InputError(f"{name}: is {type(found).__name__} {found!r:.60}, not a function")
    return found  # type: ignore[no-any-return]


@contextmanager
def current_folder() -> Iterator[None]:
    """Let modules of the current folder be imported, as ``python -m`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(here)


def source_of(function: Callable[..., Any]) -> str | None:
    """A short name for the source: of the function's whole module, else of itself; None where there is none."""
    whole = inspect.unwrap(function)
    module = inspect.getmodule(whole)
    for each in (module, whole, type(whole)):
        try:
            return hashlib.sha256(inspect.getsource(each).encode()).hexdigest()[:16]  # type: ignore[arg-type]
        except (OSError, TypeError):
            continue
    return None


def _module(name: str) -> Any:
    here = Path.cwd().joinpath(*name.split("."))
    if here.with_suffix(".py").is_file() or (here / "__init__.py").is_file():
        sys.modules.pop(name, None)  # what lies here now, not what was imported before
    invalidate_caches()
    return import_module(name)
