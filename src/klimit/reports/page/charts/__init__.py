"""Charts of a page as plain values for Plotly; colours by role, which the page resolves."""
