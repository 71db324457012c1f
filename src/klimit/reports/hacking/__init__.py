"""A proxy against gold for readers: words, tables, JSON and figures."""
