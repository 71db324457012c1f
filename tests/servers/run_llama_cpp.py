"""Serve a GGUF file by llama.cpp's own HTTP server until the standard input closes; prints the address.

A program of its own: what goes wrong in the library ends this process, not the tests.

Usage: ``python run_llama_cpp.py MODEL.gguf SLOTS exact``, or ``usual`` for its own settings of numbers
"""

from __future__ import annotations

import os
import sys

import xllamacpp


def main(model: str, slots: str, numbers: str) -> None:
    """Serve it, with as many slots; exact is float32 throughout."""
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {"toy"}
    params.n_parallel = int(slots)
    params.n_ctx = 64 * int(slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_props = True
    params.fit_params = False
    if numbers == "exact":
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
