"""Small worlds whose truth is known exactly: safety and summarization, with models made on the spot.

A world has prompts and completions over a small vocabulary, a base model in Hugging Face format trained on an imperfect
demonstrator, a rule as gold reward, and reward models trained on noisy preferences. Completions are short enough to be
enumerated through the models' own probabilities, so that the limit, best-of-N, reward hacking, and KL, reward and KL
parts of any checkpoint are exact. Needs ``klimit[lm]``; nothing is downloaded; what was built is cached.
"""

from klimit.lab.recipe import ProxyRecipe, Recipe
from klimit.lab.world import Law, World, open_world

__all__ = ["Law", "ProxyRecipe", "Recipe", "World", "open_world"]
