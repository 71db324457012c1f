"""An ensemble for readers: words, tables, JSON and figures."""
