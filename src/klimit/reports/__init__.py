"""What people and programs read: the report in words, its JSON, and the figure."""
