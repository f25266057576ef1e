"""Completers without a network: retrieval from a library, mixtures of Gaussians, fills."""
