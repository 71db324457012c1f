"""A public name without documentation is a warning, and warnings stop the build.

Public are the names in ``__all__`` of the modules of ``public_modules`` (without one, the functions and classes defined
there), and the public members of every class of this project in the reference: fields, properties, methods. Each needs
a docstring and a place in the reference. A field needs an entry under ``Attributes:``; where ``x`` has one, so have the
ends of its interval, ``x_low`` and ``x_high``.
"""

import inspect
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

logger = logging.getLogger(__name__)


def names_of(module: ModuleType) -> list[str]:
    """The names that a module offers."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    made = (inspect.isfunction, inspect.isclass)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and any(kind(value) for kind in made)
        and value.__module__ == module.__name__
    ]


def members_of(cls: type) -> Iterator[tuple[str, str, Any]]:
    """Each public member that a class has from this package: the class that defines it, its name, and itself."""
    package, seen = cls.__module__.partition(".")[0], set[str]()
    for owner in cls.__mro__:
        if owner.__module__.partition(".")[0] != package:
            continue
        fields = inspect.get_annotations(owner)
        for name in (*fields, *vars(owner)):
            if not name.startswith("_") and name not in seen:
                seen.add(name)
                yield (
                    f"{owner.__module__}.{owner.__qualname__}",
                    name,
                    inspect.getattr_static(owner, name, None),
                )


def has_docstring(value: Any) -> bool:
    """Whether a function, class, property or method says what it is."""
    for inner in ("func", "fget", "__func__"):
        value = getattr(value, inner, value)
    text = (getattr(value, "__doc__", None) or "").strip()
    # Data classes and named tuples without one get a list of their fields.
    return bool(text) and not (inspect.isclass(value) and text.startswith(f"{value.__name__}("))


def without_documentation(modules: list[str], documented: dict[str, Any]) -> Iterator[str]:
    """One line for each public name that lacks a docstring or a place in the reference."""
    packages = {name.partition(".")[0] for name in modules}
    known = {id(found(name)) for name, entry in documented.items() if entry.objtype in ("class", "function")}
    for module_name in modules:
        module = import_module(module_name)
        for name in names_of(module):
            value = getattr(module, name)
            full = f"{module_name}.{name}"
            if full not in documented and id(value) not in known:
                yield f"{full} is public but not in the reference: add it to a page in docs/api"
            if (inspect.isroutine(value) or inspect.isclass(value)) and not has_docstring(value):
                yield f"{full} is public and has no docstring"
    named = classes(documented, packages)
    for cls in named:
        homes = [name for each in cls.__mro__ for name in named.get(each, [])]
        yield from members_without(cls, homes, documented)


def classes(documented: dict[str, Any], packages: set[str]) -> dict[type, list[str]]:
    """The classes in the reference, and under which names each stands there."""
    names: dict[type, list[str]] = {}
    for name, entry in documented.items():
        if entry.objtype in ("class", "exception") and name.partition(".")[0] in packages:
            names.setdefault(found(name), []).append(name)
    return names


def found(name: str) -> Any:
    """The function or class of a name in the reference."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def members_without(cls: type, homes: list[str], documented: dict[str, Any]) -> Iterator[str]:
    """The same for the members of a class that stands, or whose bases stand, under the names ``homes``."""
    for owner, name, value in members_of(cls):
        stem = name.removesuffix("_low").removesuffix("_high")
        if not any(f"{home}.{each}" in documented for home in homes for each in (name, stem)):
            yield f"{owner}.{name} is public but not in the reference: document it where its class is"
        is_code = isinstance(value, property | classmethod | staticmethod) or callable(value)
        if is_code and not has_docstring(value) and not inspect.getdoc(getattr(cls, name, None)):
            yield f"{owner}.{name} is public and has no docstring"


def check(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Warn of each."""
    documented = env.domains.python_domain.objects
    for line in without_documentation(app.config.public_modules, documented):
        logger.warning("%s", line, type="public_names")
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Check after every reading."""
    app.add_config_value("public_modules", [], "env", [list])
    app.connect("env-updated", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
