"""Configurations of the VD-VAE: the paper's, and small ones that two CPU cores can train."""

from __future__ import annotations

from dataclasses import replace

from boed.completion.vae.vdvae import VDVAEConfig
from boed.training.config import TrainingConfig

_CIFAR10 = VDVAEConfig(
    size=32,
    channels=3,
    encoder="32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3",
    decoder="1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21",
)
_FFHQ = VDVAEConfig(
    size=256,
    channels=3,
    encoder="256x3,256d2,128x8,128d2,64x12,64d2,32x17,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4",
    decoder="1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128",
    width=512,
)

PAPER: dict[str, tuple[VDVAEConfig, TrainingConfig]] = {
    "cifar10": (
        _CIFAR10,
        TrainingConfig(steps=160_000, batch=14, lr=2e-4, ema=0.9999, clip=200.0, skip=400.0),
    ),
    "ffhq-256": (
        _FFHQ,
        TrainingConfig(steps=240_000, batch=1, lr=1.5e-4, ema=0.999, clip=130.0, skip=180.0),
    ),
    "chest-256": (
        replace(_FFHQ, channels=1),
        TrainingConfig(steps=240_000, batch=1, lr=1.5e-4, ema=0.999, clip=130.0, skip=180.0),
    ),
}
"""Of Harvey et al. 2021 (App. B.1), with the block strings of Child 2020.

The paper states 45 and 62 groups of latent variables; these published strings have 43 and 66. The
VAEs have the numbers of parameters that it states, 39 and 115 million; what AIPO adds has 17.8 and
55.9 million, where it states 18 and 65.
"""

_SMALL = TrainingConfig(steps=6000, batch=32, lr=1e-3, skip=400.0)

SMALL: dict[int, tuple[VDVAEConfig, TrainingConfig]] = {
    28: (
        VDVAEConfig(
            size=28,
            channels=1,
            encoder="14x1,14d2,7x2,7d7,1x1",
            decoder="1x2,7m1,7x3,14m7,14x2",
            width=64,
            stem=2,
            components=5,
        ),
        _SMALL,
    ),
    32: (
        VDVAEConfig(
            size=32,
            channels=1,
            encoder="16x1,16d2,8x2,8d8,1x1",
            decoder="1x2,8m1,8x3,16m8,16x2",
            width=64,
            stem=2,
            components=5,
        ),
        _SMALL,
    ),
    64: (
        VDVAEConfig(
            size=64,
            channels=1,
            encoder="16x1,16d2,8x2,8d2,4x2,4d4,1x1",
            decoder="1x2,4m1,4x2,8m4,8x3,16m8,16x2",
            width=96,
            stem=4,
            components=5,
        ),
        replace(_SMALL, batch=24),
    ),
}
"""By image size: what the shipped completers are."""


def latent(size: int, channels: int) -> tuple[VDVAEConfig, TrainingConfig]:
    """A VAE whose latent variables are 48 numbers: small enough to sample their posterior exactly.

    Encoder and decoder are perceptrons: all blocks stand at one pixel.
    """
    config = VDVAEConfig(
        size=size,
        channels=channels,
        encoder="1x2",
        decoder="1x3",
        width=256,
        bottleneck=1.0,
        stem=size,
        components=5,
    )
    return config, _SMALL


def preset(size: int, channels: int) -> tuple[VDVAEConfig, TrainingConfig]:
    """The small configuration for an image size, or the nearest sensible one built for it.

    Raises:
        ValueError: no preset divides the size.
    """
    if size in SMALL:
        config, training = SMALL[size]
    elif size % 64 == 0:
        config, training = SMALL[64]
        config = replace(config, size=size, stem=size // 16)
    else:
        raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
    return replace(config, channels=channels), training
