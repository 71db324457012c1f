"""How fast ``klimit sample`` is beside a bare batched ``generate`` loop on the same model, in one run.

    python benchmarks/sampling_speed.py                      # a model of about 0.8 million weights, made on the spot
    python benchmarks/sampling_speed.py --model PATH --device cuda --max-new-tokens 64

The bare loop tokenises, samples and decodes in batches of the same size, and writes nothing; klimit draws by keyed
random numbers, keeps log-probabilities and ids, and writes every batch to disk. Both in turn, several times; the ratio
of the medians is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from klimit.models.loading import Loaded, load_causal
from klimit.models.local import local_engine
from klimit.models.prompts import Prompt
from klimit.models.sample import sample_with
from klimit.models.settings import Sampling

WORDS = tuple(f"word{i}" for i in range(998))


def made(folder: Path, hidden: int) -> Path:
    """A small model with random weights and a vocabulary of 1,000 words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    names = ("<end>", "<unknown>", *WORDS)
    known = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unknown>"))
    known.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=known, eos_token="<end>", pad_token="<end>")
    config = LlamaConfig(
        vocab_size=len(names),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bare(loaded: Loaded, prompts: list[Prompt], n: int, batch: int, tokens: int) -> None:
    """What one writes without klimit."""
    tokenizer, model = loaded.tokenizer, loaded.model
    texts = [prompt.prompt for prompt in prompts for _ in range(n)]
    for start in range(0, len(texts), batch):
        inputs = tokenizer(
            texts[start : start + batch], return_tensors="pt", padding=True, padding_side="left"
        ).to(loaded.device)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            out = model.generate(
                **inputs, do_sample=True, top_k=0, temperature=1.0, max_new_tokens=tokens, pad_token_id=0
            )
        tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("-n", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    prompts = [Prompt(i, " ".join(random.choice(WORDS, 8))) for i in range(options.prompts)]
    sampling = Sampling(options.max_new_tokens)
    with tempfile.TemporaryDirectory() as folder:
        source = options.model or str(made(Path(folder) / "model", options.hidden))
        loaded = load_causal(source, device=options.device)
        size = sum(weight.numel() for weight in loaded.model.parameters())
        engine = local_engine(loaded, sampling, 0)
        seconds: dict[str, list[float]] = {"bare": [], "klimit": []}
        for turn in range(options.rounds + 1):
            start = time.perf_counter()
            bare(loaded, prompts, options.n, options.batch_size, options.max_new_tokens)
            middle = time.perf_counter()
            sample_with(
                engine,
                prompts,
                sampling,
                output=Path(folder) / f"{turn}.parquet",
                n=options.n,
                seed=turn,
                batch_size=options.batch_size,
                overwrite=False,
                say=print,
            )
            if turn:  # the first warms up
                seconds["bare"].append(middle - start)
                seconds["klimit"].append(time.perf_counter() - middle)
    total = options.prompts * options.n
    rates = {name: total / float(np.median(each)) for name, each in seconds.items()}
    print(f"{size:,} weights, {total:,} completions of {options.max_new_tokens} tokens, {loaded.device}")
    for name, rate in rates.items():
        print(f"{name}: {rate:,.0f} completions a second")
    print(f"ratio: {rates['klimit'] / rates['bare']:.2f}")


if __name__ == "__main__":
    main()
