"""Completers trained against a discriminator of observations: no whole scene is ever seen."""
