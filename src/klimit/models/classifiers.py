"""Rewards by a reward model: a sequence classifier with one label, by its own tokenizer and chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.answers import Answers
from klimit.models.engine import OutOfMemory
from klimit.models.extras import needed
from klimit.models.loading import Loaded
from klimit.models.local import out_of_memory
from klimit.models.rewards import Rows
from klimit.models.tokens import padded

_TOKENS = 2**15  # of one batch, padding included, to begin with
_MOST = 256
_AT_ONCE = 1024  # texts tokenised at once
# How far a reward may move when it is padded: rounding only.
_CLOSE = {"float32": 1e-3, "float64": 1e-6}
_COARSE = 0.05
_UNLIMITED = 10**9  # what tokenizers say where they know no limit is far more


@dataclass(frozen=True, eq=False)
class ClassifierReward:
    """A reward model in this process.

    Attributes:
        loaded: the model.
        ids: token ids of every row: prompt and completion.
        template: what made one text of messages, in short; None where texts were joined.
    """

    loaded: Loaded
    ids: tuple[NDArray[np.int32], ...]
    template: str | None

    @property
    def identity(self) -> dict[str, Any]:
        """Model, weights, dtype, engine, and how messages became one text."""
        known = self.loaded.identity
        return {"reward": known.pop("model"), **known, "chat_template": self.template}

    @property
    def batch_size(self) -> int:
        """Completions to try at once."""
        return int(np.clip(_TOKENS // int(self.lengths.max()), 1, _MOST))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of every row."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)

    def score(self, rows: Rows) -> NDArray[np.float64]:
        """Rewards of some rows: as if each were scored alone.

        Raises:
            OutOfMemory: fewer at once may fit.
            InputError: one is no finite number.
        """
        fill = self._fill(rows)
        groups = [rows] if fill is not None else np.split(rows, len(rows))
        found = np.concatenate([self._forward(group, fill) for group in groups])
        if not np.isfinite(found).all():
            row = int(rows[~np.isfinite(found)][0])
            raise InputError(
                f"row {row + 1}: {self.loaded.name} gives {found[~np.isfinite(found)][0]} in {self.loaded.dtype}; use "
                "--dtype float32"
            )
        return found

    def check_padding(self) -> None:
        """See that padding leaves rewards as they are, by the shortest row beside the longest.

        Raises:
            InputError: it does not: the model pools in a way of its own.
        """
        pair = np.array([self.lengths.argmin(), self.lengths.argmax()])
        try:
            together = self.score(pair)
            alone = self.score(pair[:1])
        except OutOfMemory:
            return  # the run halves its batches, and says so
        allowed = _CLOSE.get(self.loaded.dtype, _COARSE) * (1 + abs(alone[0]))
        if abs(together[0] - alone[0]) > allowed:
            raise InputError(
                f"{self.loaded.name}: scores row {pair[0] + 1} {alone[0]:.4g} alone and {together[0]:.4g} beside a "
                "longer one, so it takes padding for text; give --batch-size 1"
            )

    def _forward(self, rows: Rows, fill: int | None) -> NDArray[np.float64]:
        torch = needed("torch")
        config = self.loaded.model.config.get_text_config()
        with out_of_memory(torch), torch.inference_mode(), _padding(config, fill):
            ids, mask = padded([self.ids[row] for row in rows], side="right", device=self.loaded.device)
            if fill is not None:
                ids = ids.masked_fill(mask == 0, fill)
            logits = self.loaded.model(input_ids=ids, attention_mask=mask).logits
            return np.asarray(logits[:, 0].double().cpu().numpy())

    def _fill(self, rows: Rows) -> int | None:
        """What to pad with; None where rows must be scored alone.

        Models find the token that they read the reward at by its not being padding: where the model says what its
        padding is, that. Where it says nothing, it reads the last token, whatever it is: then any token that ends none
        of the rows.
        """
        vocabulary = int(self.loaded.model.get_input_embeddings().weight.shape[0])
        pad = getattr(self.loaded.model.config.get_text_config(), "pad_token_id", None)
        if isinstance(pad, int) and 0 <= pad < vocabulary:
            return pad
        ends = {int(self.ids[row][-1]) for row in rows}
        return next((token for token in range(vocabulary) if token not in ends), None)


def classifier_reward(loaded: Loaded, answers: Answers) -> ClassifierReward:
    """A reward model for the completions of a file, which are tokenised at once.

    Raises:
        InputError: the model has more labels than one, no chat template for messages, or a row is beyond its context.
    """
    check_labels(loaded)
    tokenizer = loaded.tokenizer
    if answers.is_chat and not getattr(tokenizer, "chat_template", None):
        raise InputError(
            f"{loaded.name}: has no chat template, and the prompts of {answers.given.path} are chat messages; use a "
            "reward model for chats, or prompts as texts"
        )
    ids: list[NDArray[np.int32]] = []
    for start in range(0, len(answers), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(answers)))
        found = tokenizer(
            _texts(tokenizer, answers, rows), add_special_tokens=not answers.is_chat, verbose=False
        )["input_ids"]
        ids.extend(np.array(each, dtype=np.int32) for each in found)
    _check_lengths(loaded, answers, [len(each) for each in ids])
    template = (
        hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()[:16] if answers.is_chat else None
    )
    return ClassifierReward(loaded, tuple(ids), template)


def check_labels(loaded: Loaded) -> None:
    """See that the model gives one number.

    Raises:
        InputError: it gives several.
    """
    config = loaded.model.config
    if config.num_labels != 1:
        labels = ", ".join(str(label) for label in list(config.id2label.values())[:6])
        raise InputError(
            f"{loaded.name}: has {config.num_labels} labels ({labels}); a reward model has one. Make one number of "
            "them in a Python function (package.module:function)"
        )


def _texts(tokenizer: Any, answers: Answers, rows: Rows) -> list[str]:
    """What the model reads: messages by its template, texts one after the other."""
    pairs = zip(answers.prompts(rows), answers.completions(rows), rows, strict=True)
    if not answers.is_chat:
        return [f"{prompt}{completion}" for prompt, completion, _ in pairs]
    texts = []
    for prompt, completion, row in pairs:
        try:
            texts.append(tokenizer.apply_chat_template([*prompt, *completion], tokenize=False))
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{answers.where(int(row))}: the chat template refuses it ({said})") from None
    return texts


def _check_lengths(loaded: Loaded, answers: Answers, lengths: Sequence[int]) -> None:
    known = (loaded.context, getattr(loaded.tokenizer, "model_max_length", None))
    limits = [limit for limit in known if isinstance(limit, int) and 0 < limit < _UNLIMITED]
    for row, length in enumerate(lengths):
        if length == 0:
            raise InputError(f"{answers.where(row)}: has no tokens for {loaded.name}")
        if limits and length > min(limits):
            beyond = sum(each > min(limits) for each in lengths)
            raise InputError(
                f"{answers.where(row)}: {length:,} tokens are more than the context of {loaded.name} "
                f"({min(limits):,}), as in {beyond:,} rows: nothing is cut off; leave such rows out, or use another "
                "reward model"
            )


@contextmanager
def _padding(config: Any, fill: int | None) -> Iterator[None]:
    """Let a model take a token for padding."""
    before = config.pad_token_id
    config.pad_token_id = before if fill is None else fill
    try:
        yield
    finally:
        config.pad_token_id = before
