"""A tiny Llama as a GGUF file: what llama.cpp reads, of the same weights in float32."""

from __future__ import annotations

import re
from pathlib import Path

import gguf
import numpy as np
from transformers import AutoTokenizer, LlamaForCausalLM

_OF_LAYERS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OTHERS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(folder: Path, path: Path, *, start: str, template: str) -> Path:
    """Write a model of ``tiny.causal`` as llama.cpp reads it.

    Each word is a token with a space before it, as byte-level BPE has them; names in angle brackets are control tokens,
    and ``0xC3`` and the like are bytes. All other text of a prompt is none to this tokenizer.

    Args:
        folder: of the model.
        path: to be written.
        start: token that begins every prompt.
        template: for chat, in Jinja.
    """
    model, tokenizer = LlamaForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    config, names = model.config, tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(len(names))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([_piece(name) for name in names])
    writer.add_token_merges(["Ġ a"])  # there has to be one; words that are tokens are taken whole
    writer.add_token_types([_kind(name) for name in names])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_bos_token_id(names.index(start))
    writer.add_add_bos_token(True)
    writer.add_chat_template(template)
    for name, weights in model.state_dict().items():
        writer.add_tensor(_named(name), _arranged(name, weights.float().numpy(), config.num_attention_heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _piece(name: str) -> str:
    """As byte-level BPE writes it: a space is one letter, and so is a byte above 0xA0."""
    if re.fullmatch(r"0x[0-9A-F]{2}", name):
        return chr(int(name, 16))
    return name if name.startswith("<") else f"Ġ{name}"


def _kind(name: str) -> gguf.TokenType:
    return gguf.TokenType.CONTROL if name.startswith("<") else gguf.TokenType.NORMAL


def _named(name: str) -> str:
    name = name.removesuffix(".weight")
    if name in _OTHERS:
        return f"{_OTHERS[name]}.weight"
    layer, part = re.fullmatch(r"model\.layers\.(\d+)\.(.*)", name).groups()
    return f"blk.{layer}.{_OF_LAYERS[part]}.weight"


def _arranged(name: str, weights: np.ndarray, heads: int) -> np.ndarray:
    """Queries and keys are turned in neighbouring pairs in llama.cpp, in two halves in transformers."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return weights
    out, inner = weights.shape
    halves = weights.reshape(heads, 2, out // heads // 2, inner)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(out, inner))
