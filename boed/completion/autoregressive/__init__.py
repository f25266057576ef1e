"""Completers that draw one pixel after another, and say how likely each scene is."""
