"""Proxies: up to which KL optimising one still helps, and what it costs against the ideal."""
