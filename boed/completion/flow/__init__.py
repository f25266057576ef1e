"""Completers that turn noise into scenes step by step: conditional flow matching, diffusion."""
