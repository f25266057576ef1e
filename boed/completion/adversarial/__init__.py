"""Completers trained against a discriminator: Context Encoder, Pluralistic Image Completion."""
