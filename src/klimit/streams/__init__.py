"""Samples larger than memory: reduced, part by part, to what limit and best-of-N need of them."""
