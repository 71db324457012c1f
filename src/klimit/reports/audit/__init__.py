"""An audit for readers: words, tables, JSON and figures."""
