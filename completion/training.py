"""Training completers: the VD-VAE by its ELBO, AIPO by the forward KL."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from completion.aipo import AIPO
from completion.vdvae import VDVAE, VDVAEConfig
from data.dataset import Dataset
from data.files import load_weights, save_weights
from data.fitting import Fit, Progress, fit, provenance
from data.masks import squares
from data.observation import Observation
from data.randomness import derive

PRESETS: dict[str, tuple[VDVAEConfig, Fit]] = {
    "small-28": (
        VDVAEConfig(
            size=28,
            channels=1,
            encoder="14x1,14d2,7x2,7d7,1x1",
            decoder="1x2,7m1,7x3,14m7,14x2",
            width=64,
            stem=2,
            components=5,
        ),
        Fit(steps=6000, batch=32, lr=1e-3, skip=400.0, bf16=True),
    ),
    "digits-32": (
        VDVAEConfig(
            size=32,
            channels=1,
            encoder="16x1,16d2,8x2,8d8,1x1",
            decoder="1x2,8m1,8x3,16m8,16x2",
            width=64,
            stem=2,
            components=5,
        ),
        Fit(steps=6000, batch=32, lr=1e-3, skip=400.0, bf16=True),
    ),
    "chest-64": (
        VDVAEConfig(
            size=64,
            channels=1,
            encoder="16x1,16d2,8x2,8d2,4x2,4d4,1x1",
            decoder="1x2,4m1,4x2,8m4,8x3,16m8,16x2",
            width=96,
            stem=4,
            components=5,
        ),
        Fit(steps=6000, batch=24, lr=1e-3, skip=400.0, bf16=True),
    ),
}
"""Architectures and settings of the shipped completers, trained on two CPU cores."""


def preset(size: int, channels: int) -> tuple[VDVAEConfig, Fit]:
    """The preset for an image size, or the nearest sensible one built for it.

    Raises:
        ValueError: no preset divides the size.
    """
    if size == 28:
        config, settings = PRESETS["small-28"]
    elif size == 32:
        config, settings = PRESETS["digits-32"]
    elif size % 64 == 0:
        config, settings = PRESETS["chest-64"]
        config = replace(config, size=size, stem=size // 16)
    else:
        raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
    return replace(config, channels=channels), settings


def standardised_for(config: VDVAEConfig, train: Dataset) -> VDVAEConfig:
    """The configuration with the training set's own mean and standard deviation.

    Raises:
        ValueError: the images are not of the configured size and channels.
    """
    _check_size(config, train)
    pixels = train.scenes().double()
    mean, std = float(pixels.mean()), float(pixels.std())
    return replace(config, mean=round(mean, 6), std=round(std, 6))


def _check_size(config: VDVAEConfig, train: Dataset) -> None:
    if (train.size, train.channels) != (config.size, config.channels):
        raise ValueError(
            f"{train.name} has {train.channels} channels of {train.size} pixels; "
            f"the model is for {config.channels} of {config.size}"
        )


def train_vae(
    train: Dataset,
    val: Dataset,
    config: VDVAEConfig,
    settings: Fit,
    out: Path,
    on_step: Callable[[int, float], None] | None = None,
    command: str | None = None,
) -> VDVAE:
    """Train an unconditional VD-VAE by its ELBO and save it to `out`.

    Args:
        train, val: images to learn from, and to watch the bound on.
        config: architecture.
        settings: how long, how, and on which devices.
        out: checkpoint to write; the running state lies beside it until the end.
        on_step: told the step and loss.
        command: what was typed, for the record.

    Raises:
        ValueError: the images are not of the configured size and channels.
    """
    config = standardised_for(config, train)
    torch.manual_seed(derive(settings.seed, "weights"))
    ranks = settings.ranks()
    model = VDVAE(config).to(ranks.device)

    def loss(step: int) -> torch.Tensor:
        scenes = train.scenes(torch.randint(len(train), (settings.share,))).to(ranks.device)
        return -model.elbo(scenes).mean() / model.dimensions

    def validate(_: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            scenes = val.scenes(_spread(len(val))).to(ranks.device)
            bound = model.elbo(scenes, seed=0).mean() / model.dimensions
        return {"val_bits_per_dim": float(-bound) / math.log(2)}

    state = out.with_suffix(".training.safetensors")
    about = {"data": train.name, "sha256": train.sha256}
    weights, progress = fit(model, loss, settings, state, validate, on_step, about)
    header = _provenance(train, settings, progress, command)
    if ranks.first:
        save_weights(out, weights, {"kind": "vdvae", "config": asdict(config), **header})
        if progress.step >= settings.steps:
            state.unlink(missing_ok=True)
    ranks.wait()
    return model.eval()


def start_from(model: AIPO, trained: AIPO) -> None:
    """Give a model the weights of a trained one; learned biases are resized to its resolutions.

    Raises:
        ValueError: the two do not have the same layers.
    """
    new, old = model.state_dict(), trained.state_dict()
    biases = sorted((k for k in old if k.startswith("vae.biases.")), key=lambda k: old[k].shape[-1])
    ours = sorted((k for k in new if k.startswith("vae.biases.")), key=lambda k: new[k].shape[-1])
    source = {k: k for k in new} | dict(zip(ours, biases, strict=False))
    for name, target in new.items():
        found = old.get(source[name])
        if found is not None and name in ours and found.shape[1] == target.shape[1]:
            found = F.interpolate(found, target.shape[-2:], mode="bilinear", align_corners=False)
        if found is None or found.shape != target.shape:
            raise ValueError(f"init has other layers than the model to train: {name} differs")
        target.copy_(found)


def load_vae(path: Path | str) -> VDVAE:
    """Read a VD-VAE that `train_vae` wrote.

    Raises:
        ValueError: the file is missing, damaged, or holds something else.
    """
    tensors, header = load_weights(path, "vdvae")
    try:
        model = VDVAE(VDVAEConfig(**header["config"]))
        model.load_state_dict(tensors)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {path} does not fit its configuration: {error}") from error
    return model.eval()


def train_aipo(
    train: Dataset,
    val: Dataset,
    settings: Fit,
    out: Path,
    config: VDVAEConfig | None = None,
    vae: VDVAE | None = None,
    init: AIPO | None = None,
    on_step: Callable[[int, float], None] | None = None,
    command: str | None = None,
) -> AIPO:
    """Train AIPO by the forward KL (Eq. 10) and save it to `out`.

    Args:
        train, val: images to learn from, and to watch the bound on.
        settings: how long, how, and on which devices.
        out: checkpoint to write; the running state lies beside it until the end.
        config: architecture to train jointly from scratch; or
        vae: a trained VD-VAE that stays frozen while the partial encoder is trained.
        init: a trained AIPO whose weights joint training starts from; it may be of another size.
        on_step: told the step and loss.
        command: what was typed, for the record.

    Raises:
        ValueError: not exactly one of `config` and `vae` was given, or it is for images of
            another size.
    """
    if (config is None) == (vae is None):
        raise ValueError("give either config (joint training) or vae (pretrained), not both")
    torch.manual_seed(derive(settings.seed, "weights"))
    if vae is not None:
        _check_size(vae.config, train)
        model = AIPO.from_vae(vae)
    else:
        assert config is not None
        model = AIPO(VDVAE(standardised_for(config, train)))
        if init is not None:
            start_from(model, init)
    ranks = settings.ranks()
    device = ranks.device
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(step: int) -> torch.Tensor:
        scenes = train.scenes(torch.randint(len(train), (settings.share,))).to(device)
        masks = squares(len(scenes), train.size).to(device)
        return model.loss(scenes, Observation.of(scenes, masks))

    def validate(_: nn.Module) -> dict[str, float]:
        scenes = val.scenes(_spread(len(val))).to(device)
        generator = torch.Generator().manual_seed(0)
        masks = squares(len(scenes), val.size, generator=generator).to(device)
        with torch.no_grad():
            distortion, rate = model.rate_distortion(scenes, Observation.of(scenes, masks), 0)
        per_dimension = model.vae.dimensions * math.log(2)
        return {
            "val_bits_per_dim": float((rate - distortion).mean()) / per_dimension,
            "val_rate_bits_per_dim": float(rate.mean()) / per_dimension,
        }

    state = out.with_suffix(".training.safetensors")
    origin = ("data", "steps", "command")
    begun = None if init is None else {k: init.provenance.get(k) for k in origin}
    about = {"data": train.name, "sha256": train.sha256, "init": begun}
    _, progress = fit(model, loss, settings, state, validate, on_step, about)
    header = _provenance(train, settings, progress, command)
    if begun is not None:
        header["init"] = begun
    header["objective"] = "forward KL, pretrained VAE" if vae else "forward KL, joint"
    if ranks.first:
        model.save(out, header)
        if progress.step >= settings.steps:
            state.unlink(missing_ok=True)
    ranks.wait()
    return model.eval()


def _spread(available: int, number: int = 256) -> torch.Tensor:
    """Rows evenly spread over a split, whose images may be sorted by class."""
    return torch.linspace(0, available - 1, min(number, available)).long()


def _provenance(
    train: Dataset, settings: Fit, progress: Progress, command: str | None
) -> dict[str, Any]:
    """Where the weights come from, the last validation standing for their scores."""
    last = progress.history[-1] if progress.history else {}
    header = {**provenance(train, settings, progress), "scores": last}
    return header if command is None else {**header, "command": command}
