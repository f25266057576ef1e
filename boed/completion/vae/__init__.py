"""Variational auto-encoders: AIPO, AIPO-R, VAEAC, and the VD-VAE that they build on."""
