"""Tables of samples for the commands."""

import numpy as np
import pandas as pd


def table(n_prompts: int = 60, n_completions: int = 24, *, seed: int = 0) -> pd.DataFrame:
    """Gaussian rewards of prompts that differ, and whether each is above 1."""
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(n_prompts, 1)) + rng.normal(size=(n_prompts, n_completions))
    return pd.DataFrame(
        {
            "prompt_id": np.repeat(np.arange(n_prompts), n_completions),
            "sample_id": np.tile(np.arange(n_completions), n_prompts),
            "reward": rewards.ravel(),
            "correct": (rewards.ravel() > 1).astype(float),
        }
    )
