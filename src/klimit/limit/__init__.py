"""The limit: the most reward that a KL budget can buy, estimated from samples of the base policy."""
