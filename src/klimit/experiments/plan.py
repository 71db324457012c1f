"""From a recipe to its steps, in the order in which they are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import klimit
from klimit.experiments import prepare, work
from klimit.experiments.inputs import digest_of_model, digest_of_prompts, digest_of_reward
from klimit.experiments.place import (
    BASE,
    PAGE,
    PROMPTS,
    RESULTS,
    SPREAD,
    WORLD,
    Place,
    policy_of,
    samples_of,
)
from klimit.experiments.recipe import PromptSource, Recipe, Run
from klimit.experiments.report import write_report
from klimit.experiments.steps import Step, key_of

# Settings of training that change how it is done, not what comes out.
_HOW = ("save_every", "log_every", "gradient_checkpointing")
_STEPS, _BATCH = 200, 64  # klimit.train's defaults


def steps_of(place: Place) -> list[Step]:
    """All steps of an experiment.

    Raises:
        InputError: a model, a reward or a file of prompts cannot be read.
    """
    return _Plan(place).steps


class _Plan:
    """Steps as they are put together, each with the keys of those that it depends on."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.recipe: Recipe = place.recipe
        self.steps: list[Step] = []
        self._prepare()
        self.rewards = {name: self._key_of_reward(name) for name in self.recipe.rewards}
        self.how = {"max_new_tokens": self.recipe.max_new_tokens, "dtype": self.recipe.dtype}
        spread = self._spread() if self.recipe.in_spreads else None
        base = self._sample_base()
        scored = self._score(BASE, base, self.recipe.n)
        keys = [self._run(run, spread) for run in self.recipe.runs]
        self._report([scored, *keys])

    def _add(self, step: Step) -> Step:
        self.steps.append(step)
        return step

    def _prepare(self) -> None:
        recipe = self.recipe
        if recipe.world is not None:
            self.start = self.prompts = self._make(
                "build",
                WORLD,
                f"build the lab's world {recipe.world.task}",
                lambda: prepare.copy_world(self.place),
                key_of(world=recipe.world.key),
            )
            return
        assert recipe.prompts is not None
        self.start = key_of(model=digest_of_model(recipe.model))
        apart = recipe.held_out
        sources = [recipe.prompts, *([apart] if isinstance(apart, PromptSource) else [])]
        known = {
            "sources": [asdict(source) for source in sources],
            "content": [digest_of_prompts(source) for source in sources],
            "share": None if isinstance(apart, PromptSource) else [apart, recipe.seed],
        }
        held_out = f"{apart:.3g} of them" if not isinstance(apart, PromptSource) else str(apart)
        says = f"prepare prompts: {recipe.prompts}; held out: {held_out}"
        self.prompts = self._make(
            "prepare", PROMPTS, says, lambda: prepare.make_prompts(self.place), key_of(**known)
        )

    def _make(self, kind: str, target: str, says: str, do: Any, key: str, **more: Any) -> str:
        """A step that makes its target; its key."""
        options = {"size": 1.0, "pace": kind, **more}
        self._add(Step(kind, target, says, key, {target: key}, do=lambda parts: do(), **options))
        return key

    def _key_of_reward(self, name: str) -> str:
        if self.recipe.world is not None:
            return key_of(start=self.start, reward=name)
        return key_of(reward=digest_of_reward(self.recipe.rewards[name]))

    def _spread(self) -> str:
        """Samples for the rewards' spread; the key of their scores."""
        made = self._make(
            "sample",
            SPREAD,
            f"sample the base model on prompts to train on, for the spread of {self.recipe.reward}",
            lambda: work.sample_for_spread(self.place),
            key_of(step="spread", model=self.start, prompts=self.prompts, seed=self.recipe.seed, **self.how),
            pace="sample-spread",
        )
        return self._score(SPREAD, made, 1, [self.recipe.reward])

    def _sample_base(self) -> str:
        return self._sample(BASE, self.start, "the base model", self.place.model, self.recipe.n)

    def _sample(self, target: str, model: str, said: str, path: str, n: int, about: str = "") -> str:
        known = {"model": model, "prompts": self.prompts, "n": n, "seed": self.recipe.seed, **self.how}
        return self._make(
            "sample",
            target,
            f"sample {said} on the held-out prompts, {n:,} completions each",
            lambda: work.sample(self.place, path, prepare.HELD_OUT, target, n),
            key_of(step="sample", **known),
            size=float(n),
            about=about,
        )

    def _score(
        self, target: str, made_by: str, n: int, rewards: Sequence[str] | None = None, about: str = ""
    ) -> str:
        """A step that adds rewards to samples; the key of all."""
        wanted = list(self.recipe.rewards) if rewards is None else list(rewards)
        keys = {
            name: key_of(step="score", samples=made_by, reward=self.rewards[name], dtype=self.recipe.dtype)
            for name in wanted
        }
        self._add(
            Step(
                "score",
                target,
                f"score {about or 'the base model'} by {', '.join(wanted)}",
                made_by,
                keys,
                float(n * len(wanted)),
                lambda parts: work.score(self.place, target, parts),
                "score-spread" if target == SPREAD else "score",
                about=about,
            )
        )
        return key_of(**keys)

    def _run(self, run: Run, spread: str | None) -> str:
        """The steps of one policy; the key of all."""
        settings = dict(self.recipe.training[run.trainer])
        known = {name: value for name, value in settings.items() if name not in _HOW}
        beta = {"multiple": run.beta, "spread": spread} if run.in_spreads else {"beta": run.beta}
        said = run.label(seeds=len(self.recipe.seeds) > 1)
        policy = self._make(
            "train",
            policy_of(run),
            f"train {said}",
            lambda: work.train(self.place, run),
            key_of(
                step="train", trainer=run.trainer, seed=run.seed, model=self.start, prompts=self.prompts,
                reward=self.rewards[self.recipe.reward], max_new_tokens=self.recipe.max_new_tokens, **beta, **known,
            ),
            size=float(settings.get("steps", _STEPS) * settings.get("batch_size", _BATCH)),
            pace=f"train {run.trainer}",
            about=said,
        )  # fmt: skip
        target, n = samples_of(run), self.recipe.n_policy
        made = self._sample(target, policy, said, str(self.place.folder / policy_of(run)), n, about=said)
        logprob = key_of(step="logprob", samples=made, base=self.start, dtype=self.recipe.dtype)
        self._add(
            Step(
                "logprob",
                target,
                f"log-probabilities of {said} under policy and base model",
                made,
                {"logprob": logprob},
                float(n),
                lambda parts: work.logprob(self.place, run),
                "logprob",
                about=said,
            )
        )
        return key_of(scored=self._score(target, made, n, about=said), logprob=logprob)

    def _report(self, keys: Sequence[str]) -> None:
        recipe = self.recipe
        known = {
            "samples": list(keys),
            "title": [recipe.name, recipe.title],
            "rewards": [recipe.reward, recipe.gold, recipe.proxies],
            "best_of_n": recipe.best_of_n,
            "version": klimit.__version__,
            "level": recipe.level,
            "seed": recipe.seed,
        }
        self._make(
            "report",
            PAGE,
            f"audit all policies; write {PAGE} and {RESULTS}",
            lambda: write_report(self.place, self.steps),
            key_of(step="report", **known),
            also=(RESULTS,),
            keep=False,
        )
