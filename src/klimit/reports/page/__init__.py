"""One self-contained HTML page: all that is known of a base policy, its limit, and what others got of it."""
