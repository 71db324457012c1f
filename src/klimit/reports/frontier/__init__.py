"""A limit and best-of-N for readers: words, tables, JSON and the figure."""
