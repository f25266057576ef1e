"""Training completers, each by its own loss on masked images, and the VD-VAE by its ELBO."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from boed.completion.learned import LearnedCompleter, statistics
from boed.completion.registry import LEARNED
from boed.completion.samples import draw_samples, samples_path
from boed.completion.vae.aipo import AIPO
from boed.completion.vae.presets import PAPER, latent
from boed.completion.vae.vdvae import VDVAE, VDVAEConfig
from boed.data.dataset import Dataset
from boed.data.masks import check_masks, named
from boed.data.observation import Observation
from boed.foundation.checks import check_fits
from boed.foundation.identity import identity
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.training.checkpoints import claim_trained, conclude, running_state
from boed.training.config import TrainingConfig
from boed.training.loop import fit, provenance
from boed.training.recipes import Recipe
from boed.training.state import Progress

TRAINED = (*LEARNED, "vae")
"""What can be trained: the completers that learn, and the unconditional VD-VAE."""

ARCHITECTURES = ("small", "latent", *PAPER, "binary", "mnist", "celeba")
"""Presets by name; not every one is there for each of `TRAINED`."""

MOST_LOOKS = 7
"""Of another sensor, where its random looks take the place of masks."""

Looking = Callable[[torch.Tensor, torch.Tensor, torch.Generator | None], Observation]
"""Scenes and how many random looks are taken of each to what is then seen of them."""


def preset(name: str, train: Dataset, architecture: str = "small") -> tuple[Any, TrainingConfig]:
    """Configuration of a completer, or of `vae`, for a data set, and how to train it.

    Args:
        name: of the completer.
        train: images to learn from.
        architecture: `small`; `latent` for a `vae` of few latent variables; one of
            `boed.completion.vae.presets.PAPER`; or one of the completer's own `architectures`.

    Raises:
        ValueError: an unknown name or architecture, a completer that has no such architecture, or
            no preset for the images' size.
    """
    kind = AIPO if name == "vae" else LEARNED[name]
    if architecture == "small":
        return kind.preset(train.size, train.channels)
    if architecture == "latent" and name == "vae":
        return latent(train.size, train.channels)
    if name != "vae" and architecture in kind.architectures:
        return kind.architectures[architecture](train.size, train.channels)
    own = ["latent"] if name == "vae" else kind.architectures
    check_known("architecture", architecture, ("small", *own, *PAPER))
    if not issubclass(kind, AIPO):
        raise ValueError(
            f"architecture {architecture} is a VD-VAE, for aipo, aipo-r and vae; not for {name}"
        )
    return PAPER[architecture]


def standardised_for(config: Any, train: Dataset) -> Any:
    """The configuration with the training set's own mean and standard deviation.

    Raises:
        ValueError: the images are not of the configured size and channels.
    """
    check_fits("the model", config, train, name=train.name)
    return replace(config, **statistics(train))


def train_vae(
    train: Dataset,
    val: Dataset,
    config: VDVAEConfig,
    *,
    training: TrainingConfig,
    out: Path,
    on_step: Callable[[int, float], None] | None = None,
    command: str | None = None,
    recipe: Recipe | None = None,
) -> VDVAE:
    """Train an unconditional VD-VAE by its ELBO and save it to `out`.

    Args:
        train, val: images to learn from, and to watch the bound on.
        config: architecture.
        training: how long, how, and on which devices.
        out: checkpoint to write, with its recipe and its curve beside it, the best weights by val
            if they are not the last, and until the end the running state.
        on_step: called with step and loss.
        command: what was typed, for the record.
        recipe: what was asked for, for the record; made of the arguments if not given.

    Raises:
        ValueError: the images are not of the configured size and channels, or `out` holds
            another training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    training.check_batch(train)
    config = standardised_for(config, train)
    about = {"data": train.name, "sha256": train.sha256}
    recipe = recipe or Recipe(kind="vae", data=train.name)
    recipe = recipe.trained(training, config, size=train.size)
    if claim_trained(out, recipe, about, steps=training.steps):
        return VDVAE.load(out)
    torch.manual_seed(derive(training.seed, "weights"))
    ranks = training.ranks()
    model = VDVAE(config).to(ranks.device)

    def loss(step: int) -> torch.Tensor:
        scenes = train.scenes(torch.randint(len(train), (training.share,))).to(ranks.device)
        return -model.elbo(scenes).mean() / model.dimensions

    def validate(_: nn.Module) -> dict[str, float]:
        return val_bound(model, val, ranks.device)

    _, progress = fit(
        model,
        loss,
        training,
        state=running_state(out),
        validate=validate,
        merit=model.merit,
        on_step=on_step,
        about=about,
    )

    def finish(_: nn.Module, progress: Progress) -> dict[str, Any]:
        return _provenance(train, training, progress, command)

    conclude(model, out, finish, training=training, recipe=recipe, about=about, progress=progress)
    return model.eval()


@torch.no_grad()
def val_bound(model: VDVAE, val: Dataset, device: torch.device | str = "cpu") -> dict[str, float]:
    """The bound of a VD-VAE on 256 val images in bits per dimension, for the training's history."""
    scenes = val.scenes(_even_rows(len(val))).to(device)
    bound = model.elbo(scenes, seed=0).mean() / model.dimensions
    return {model.merit: float(-bound) / math.log(2)}


def seen(
    scenes: torch.Tensor,
    masks: str | Looking,
    generator: torch.Generator | None = None,
) -> Observation:
    """What a completer is shown of scenes in training.

    Args:
        scenes: `[B, C, H, W]`.
        masks: as `boed.data.masks.named` takes them, or random looks of a sensor.
        generator: of the random numbers; torch's global one if not given.
    """
    if not isinstance(masks, str):
        counts = torch.randint(MOST_LOOKS + 1, (len(scenes),), generator=generator)
        return masks(scenes, counts, generator)
    mask = named(masks)(len(scenes), scenes.shape[-1], generator=generator)
    return Observation.of(scenes, mask.to(scenes.device))


def val_situations(
    val: Dataset, masks: str | Looking, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, Observation]:
    """The 256 val scenes that completers are watched on, and what is seen of them."""
    scenes = val.scenes(_even_rows(len(val))).to(device)
    return scenes, seen(scenes, masks, torch.Generator().manual_seed(0))


def start_from(model: LearnedCompleter, trained: LearnedCompleter) -> None:
    """Give a model the weights of a trained one; learned biases are resized to its resolutions.

    Raises:
        ValueError: the two do not have the same layers.
    """
    new, old = model.state_dict(), trained.state_dict()
    biases = sorted((k for k in old if k.startswith("vae.biases.")), key=lambda k: old[k].shape[-1])
    ours = sorted((k for k in new if k.startswith("vae.biases.")), key=lambda k: new[k].shape[-1])
    source = {k: k for k in new} | dict(zip(ours, biases, strict=False))
    for name, target in new.items():
        weight = old.get(source[name])
        if weight is not None and name in ours and weight.shape[1] == target.shape[1]:
            weight = F.interpolate(weight, target.shape[-2:], mode="bilinear", align_corners=False)
        if weight is None or weight.shape != target.shape:
            raise ValueError(f"init has other layers than the model to train: {name} differs")
        target.copy_(weight)


def train_completer(
    name: str,
    train: Dataset,
    val: Dataset,
    *,
    training: TrainingConfig,
    out: Path,
    config: Any = None,
    vae: VDVAE | None = None,
    init: LearnedCompleter | None = None,
    masks: str = "squares",
    looking: Looking | None = None,
    on_step: Callable[[int, float], None] | None = None,
    command: str | None = None,
    recipe: Recipe | None = None,
) -> LearnedCompleter:
    """Train a completer on masked images and save it to `out`.

    Args:
        name: of the completer, one of `boed.completion.registry.LEARNED`.
        train, val: images to learn from, and to watch the loss on.
        training: how long, how, and on which devices.
        out: checkpoint to write, with its recipe, its curve and a picture of samples beside it,
            the best weights by val if they are not the last, and until the end the running state.
        config: architecture; the preset for the images' size if neither it nor `vae` is given.
        vae: for `aipo` and `aipo-r`, a trained VD-VAE that stays frozen while the partial
            encoder is trained.
        init: a trained completer of this kind, or of the kind that teaches it, whose weights
            training starts from; AIPO's may be of another image size.
        masks: as `boed.data.masks.named` takes them, such as `squares` or `top:14`.
        looking: random looks of a sensor that sees pixels, in place of masks.
        on_step: called with step and loss.
        command: what was typed, for the record.
        recipe: what was asked for, for the record; made of the arguments if not given.

    Raises:
        ValueError: an unknown completer, masks or combination, or the architecture is for images
            of another size, or `out` holds another training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    training.check_batch(train)
    if looking is None:
        check_masks(masks, train.size)
    shown, said = (masks, masks) if looking is None else (looking, repr(looking))
    model = _begun(name, train, training, config, vae, init)
    origin = ("data", "steps", "command")
    begun = None if init is None else {k: init.provenance.get(k) for k in origin}
    about = {"data": train.name, "sha256": train.sha256, "init": begun, "masks": said}
    models = {"weights": init, "vae": vae}
    about |= {role: identity(each) for role, each in models.items() if each is not None}
    recipe = (recipe or Recipe(kind="completer", name=name, data=train.name)).trained(
        training,
        None if vae else model.config,
        size=train.size,
        masks=masks if looking is None else None,
    )
    if claim_trained(out, recipe, about, steps=training.steps):
        return LEARNED[name].load(out)
    ranks = training.ranks()
    device = ranks.device
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()

    def loss(step: int) -> torch.Tensor:
        scenes = train.scenes(torch.randint(len(train), (training.share,))).to(device)
        return model.loss(scenes, seen(scenes, shown), step / training.steps)

    def validate(_: nn.Module) -> dict[str, float]:
        scenes, observation = val_situations(val, shown, device)
        draw_samples(model, observation, samples_path(out))
        return model.figures(scenes, observation)

    _, progress = fit(
        model,
        loss,
        training,
        state=running_state(out),
        validate=validate,
        merit=model.merit,
        on_step=on_step,
        about=about,
    )

    def finish(_: nn.Module, progress: Progress) -> dict[str, Any]:
        header = _provenance(train, training, progress, command)
        header |= {
            "masks": said,
            "objective": f"{name}, {'pretrained VAE' if vae else 'from scratch'}",
        }
        if begun is not None:
            header["init"] = begun
        if vae is not None:
            known = (*origin, "cpu_seconds")
            header["vae"] = {k: vae.provenance[k] for k in known if k in vae.provenance}
        return header

    conclude(model, out, finish, training=training, recipe=recipe, about=about, progress=progress)
    return model.eval()


def _begun(
    name: str,
    train: Dataset,
    training: TrainingConfig,
    config: Any,
    vae: VDVAE | None,
    init: LearnedCompleter | None,
) -> LearnedCompleter:
    """The model to train, with the weights it starts from."""
    kind = LEARNED[name]
    torch.manual_seed(derive(training.seed, "weights"))
    if vae is not None:
        if config is not None:
            raise ValueError("give either config (joint training) or vae (pretrained), not both")
        if not issubclass(kind, AIPO):
            raise ValueError(f"vae is for aipo and aipo-r, which extend it; not for {name}")
        check_fits("vae", vae.config, train, name=train.name)
        return kind.from_vae(vae)
    if config is None:
        config = kind.preset(train.size, train.channels)[0]
    model = kind.of(standardised_for(config, train))
    if kind.taught_by is not None and init is None:
        raise ValueError(f"init is missing: {name} learns from a trained {kind.taught_by}")
    if init is not None:
        expected = kind if kind.taught_by is None else LEARNED[kind.taught_by]
        if type(init) is not expected:
            raise ValueError(f"init is {type(init).__name__}, expected {expected.__name__}")
        start_from(model, init)
        if kind.taught_by is not None:
            model.learn_from(init)
    return model


def _even_rows(available: int, number: int = 256) -> torch.Tensor:
    """Rows evenly spread over a split, whose images may be sorted by class."""
    return torch.linspace(0, available - 1, min(number, available)).long()


def _provenance(
    train: Dataset, training: TrainingConfig, progress: Progress, command: str | None
) -> dict[str, Any]:
    """Where the weights come from, the last validation standing for their scores."""
    last = progress.history[-1] if progress.history else {}
    header = {**provenance(train, training, progress), "scores": last}
    return header if command is None else {**header, "command": command}
