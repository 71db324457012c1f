"""What an experiment is made from, as its file says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from klimit.lab import Recipe as WorldRecipe

GOLD = "gold"


@dataclass(frozen=True)
class PromptSource:
    """Where prompts come from; as :func:`klimit.prompts` takes it.

    Attributes:
        name: a file, or a set on the hub.
        split: of a set on the hub.
        column: that holds them.
        limit: how many are taken, at random; None for all.
        seed: of that choice.
        chat: whether each text is made a user's message.
    """

    name: str
    split: str | None = None
    column: str = "prompt"
    limit: int | None = None
    seed: int = 0
    chat: bool = False

    def __str__(self) -> str:
        split = f", {self.split}" if self.split else ""
        count = f", {self.limit:,} of them" if self.limit is not None else ""
        return f"{self.name}{split}{count}"


@dataclass(frozen=True)
class Recipe:
    """An experiment.

    Attributes:
        name: of the experiment, and of its folder unless another is given.
        source: what messages call the file.
        title: of the page.
        world: a world of the lab, which gives model, prompts and rewards; None for models of one's own.
        model: the base model: folder or hub id.
        prompts: to train on.
        held_out: to evaluate on: prompts of their own, or the share of ``prompts`` that is kept out of training.
        rewards: what computes each reward, by name: folder or hub id of a reward model, or ``package.module:function``.
        reward: the one that is trained on.
        gold: the one that is meant; None where it is the one that is trained on.
        proxies: those held against gold.
        betas: reward given up for a nat, in reward, or in units of its spread within prompts.
        in_spreads: which of the two.
        trainers: names.
        training: settings of :func:`klimit.train`, by trainer.
        seeds: of the training runs.
        n: completions of the base model for each held-out prompt.
        n_policy: the same of each trained policy.
        best_of_n: those N that are told beside the policies.
        max_new_tokens: where a completion is cut.
        seed: of sampling, choosing prompts and estimating.
        level: nominal cover of the intervals.
        dtype: of models that are sampled and score.
        device: as torch names it.
        trust_remote_code: run code that comes with the models.
        allow_pickle: load pickled weights.
    """

    name: str
    source: str
    title: str | None
    world: WorldRecipe | None
    model: str
    prompts: PromptSource | None
    held_out: PromptSource | float
    rewards: Mapping[str, str]
    reward: str
    gold: str | None
    proxies: tuple[str, ...]
    betas: tuple[float, ...]
    in_spreads: bool
    trainers: tuple[str, ...]
    training: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...] = (0,)
    n: int = 64
    n_policy: int = 64
    best_of_n: tuple[int, ...] = (2, 4, 8, 16)
    max_new_tokens: int = 256
    seed: int = 0
    level: float = 0.95
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    allow_pickle: bool = False

    @property
    def limit_reward(self) -> str:
        """The reward whose limit is asked for."""
        return self.gold or self.reward

    @property
    def runs(self) -> tuple[Run, ...]:
        """All training runs, beta by beta, the largest first."""
        return tuple(
            Run(trainer, beta, self.in_spreads, seed)
            for beta in sorted(self.betas, reverse=True)
            for trainer in self.trainers
            for seed in self.seeds
        )

    def to_dict(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """A training run.

    Attributes:
        trainer: of :func:`klimit.train`.
        beta: as the recipe has it.
        in_spreads: whether that is in units of the reward's spread.
        seed: of the run.
    """

    trainer: str
    beta: float
    in_spreads: bool
    seed: int = field(default=0)

    @property
    def slug(self) -> str:
        """What its files are called."""
        beta = f"{self.beta:.12g}" + "spread" * self.in_spreads
        return f"{self.trainer}-beta{beta}-seed{self.seed}"

    def label(self, spread: float | None = None, *, seeds: bool = True) -> str:
        """What people are shown.

        Args:
            spread: of the reward, where it is known.
            seeds: whether there are several.
        """
        seed = f" seed {self.seed}" if seeds else ""
        if not self.in_spreads:
            return f"{self.trainer} beta {self.beta:.4g}{seed}"
        if spread is None:
            return f"{self.trainer} beta {self.beta:.4g} spreads{seed}"
        return f"{self.trainer} beta {self.beta * spread:.3g}{seed}"
