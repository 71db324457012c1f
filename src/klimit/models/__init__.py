"""From models to the files that the rest reads: prompts, samples, log-probabilities, rewards. Needs ``klimit[lm]``.

Every step reads one table and writes one Parquet file, keyed by row; it can be stopped at any moment and goes on where
it stopped. The package imports neither torch nor transformers until a model is asked for.
"""
