"""Vendors of speech: one module or package each, found by name (see ``registry``)."""
