"""Completers that are neural processes."""
