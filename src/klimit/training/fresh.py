"""Fresh samples of a policy that is in memory, as an audit takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from klimit.models.engine import Draw
from klimit.models.loading import Loaded
from klimit.models.local import LocalEngine
from klimit.models.prompts import Prompt
from klimit.models.settings import Sampling
from klimit.models.tokens import end_ids
from klimit.samples import Samples
from klimit.training.draws import drawn, evaluated, scored


@dataclass(frozen=True, eq=False)
class Fresh:
    """What is drawn from what.

    Attributes:
        policy: that is drawn from.
        reference: that its KL is from; it ends completions as the policy does.
        sampling: settings.
        seed: of the draws, which depend on the policy's weights as well.
        n: completions of each prompt.
    """

    policy: Loaded
    reference: Loaded
    sampling: Sampling
    seed: int
    n: int

    def samples(self, prompts: Sequence[Prompt], score: Any, reward: str, source: str) -> Samples:
        """Completions with rewards, log-probabilities and next-token KLs.

        Args:
            prompts: to be answered.
            score: gives rewards of prompts, texts and token ids.
            reward: its name.
            source: what to call them.
        """
        ends = end_ids(self.reference.model, self.policy.tokenizer, self.reference.name)
        engine = LocalEngine(self.policy, self.sampling, self.seed, ends)
        draws = [Draw(prompt, i) for prompt in prompts for i in range(self.n)]
        with evaluated(self.policy.model), evaluated(self.reference.model):
            engine.check(prompts)
            found = drawn(engine, draws)
            sums = scored(self.policy.model, self.reference.model, found, engine)
        texts = [each.text for each in found]
        ids = [each.completion_token_ids or () for each in found]
        rewards = score([draw.prompt for draw in draws], texts, ids, source)
        return Samples(
            rewards={reward: rewards},
            offsets=np.arange(len(prompts) + 1, dtype=np.int64) * self.n,
            prompt_ids=np.array([prompt.prompt_id for prompt in prompts]),
            logprob=sums.logprob,
            ref_logprob=sums.ref_logprob,
            token_kl=sums.token_kl,
            n_tokens=np.array([len(each) for each in ids], dtype=np.int64),
            truncated=np.array([each.finish_reason == "length" for each in found]),
            completions=np.array(texts, dtype=object),
            source=source,
        )
