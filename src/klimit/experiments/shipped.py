"""Recipes that come with klimit."""

from __future__ import annotations

from importlib.resources import files

_ENDING = ".toml"


def shipped() -> tuple[str, ...]:
    """Their names."""
    found = (each.name for each in files("klimit.experiments").joinpath("recipes").iterdir())
    return tuple(sorted(name.removesuffix(_ENDING) for name in found if name.endswith(_ENDING)))


def text_of(name: str) -> str:
    """A recipe as it is written."""
    return files("klimit.experiments").joinpath("recipes", f"{name}{_ENDING}").read_text(encoding="utf-8")


def about(name: str) -> str:
    """Its first line, which says what it is."""
    return text_of(name).partition("\n")[0].removeprefix("#").strip()
