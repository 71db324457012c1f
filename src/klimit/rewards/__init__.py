"""What is being rewarded: transforms of the reward, named alike wherever a reward is used."""

from klimit.rewards.transforms import (
    IDENTITY,
    RANK,
    STANDARDISED,
    TRANSFORMS,
    Transform,
    parse_transform,
    transform_column,
    transform_values,
)

__all__ = [
    "IDENTITY",
    "RANK",
    "STANDARDISED",
    "TRANSFORMS",
    "Transform",
    "parse_transform",
    "transform_column",
    "transform_values",
]
