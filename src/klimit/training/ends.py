"""Whether a base model ever ends a completion: training on nothing but cut completions is seldom meant."""

from __future__ import annotations

from collections.abc import Sequence

from klimit.errors import InputError
from klimit.models.batches import Say
from klimit.models.engine import Draw
from klimit.models.loading import Loaded
from klimit.models.local import LocalEngine
from klimit.models.prompts import Prompt
from klimit.training.draws import drawn

_DRAWS = 64
_MANY = 0.5


def check_end_token(loaded: Loaded) -> int:
    """The end token that trainers stop at.

    Raises:
        InputError: the tokenizer names none.
    """
    end = loaded.tokenizer.eos_token_id
    if end is None:
        raise InputError(
            f"{loaded.name}: its tokenizer names no end token (eos_token), at which trainers stop; set one"
        )
    return int(end)


def check_ends(engine: LocalEngine, prompts: Sequence[Prompt], *, allow_truncated: bool, say: Say) -> None:
    """See that the model ends completions within the limit, by some draws.

    Raises:
        InputError: it ends none of them.
    """
    draws = [Draw(prompts[i % len(prompts)], i // len(prompts)) for i in range(_DRAWS)]
    cut = sum(each.finish_reason == "length" for each in drawn(engine, draws))
    limit = engine.sampling.max_new_tokens
    if cut == _DRAWS and not allow_truncated:
        raise InputError(
            f"{engine.loaded.name}: never emits its end token within {limit:,} new tokens ({_DRAWS} of {_DRAWS} draws "
            "were cut), so the reward would see cut completions only; raise --max-new-tokens, take a model that ends "
            "its answers, or give --allow-truncated if that is what you want"
        )
    if cut > _MANY * _DRAWS:
        say(f"{cut} of {_DRAWS} draws of the base model were cut at {limit:,} tokens")
