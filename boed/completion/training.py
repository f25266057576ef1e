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
from boed.completion.sources import (
    check_learns_from,
    check_start,
    even_rows,
    source_of,
)
from boed.completion.vae.aipo import AIPO
from boed.completion.vae.presets import PAPER, latent
from boed.completion.vae.vdvae import VDVAE, VDVAEConfig
from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.data.looking import Looking
from boed.foundation.checks import check_fits
from boed.foundation.identity import identity
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.training.checkpoints import check_layers, claim_trained, conclude, running_state
from boed.training.config import TrainingConfig
from boed.training.loop import fit, provenance
from boed.training.recipes import Recipe
from boed.training.state import Progress

TRAINED = (*LEARNED, "vae")
"""What can be trained: the completers that learn, and the unconditional VD-VAE."""

ARCHITECTURES = ("small", "latent", *PAPER, "digits", "binary", "mnist", "cifar", "celeba")
"""Presets by name; not every one is there for each of `TRAINED`."""


def preset(
    name: str, train: Dataset | Incomplete, architecture: str = "small"
) -> tuple[Any, TrainingConfig]:
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


def standardised_for(config: Any, train: Dataset | Incomplete) -> Any:
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
    out: Path | str,
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
    out = Path(out)
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
    scenes = val.scenes(even_rows(len(val))).to(device)
    bound = model.elbo(scenes, seed=0).mean() / model.dimensions
    return {model.merit: float(-bound) / math.log(2)}


def start_from(model: LearnedCompleter, trained: LearnedCompleter) -> None:
    """Give a model the weights of a trained one; learned biases are resized to its resolutions.

    Raises:
        ValueError: the two do not have the same layers.
    """
    new, old = model.state_dict(), trained.state_dict()
    biases = sorted((k for k in old if k.startswith("vae.biases.")), key=lambda k: old[k].shape[-1])
    ours = sorted((k for k in new if k.startswith("vae.biases.")), key=lambda k: new[k].shape[-1])
    source, given = {k: k for k in new} | dict(zip(ours, biases, strict=False)), {}
    for name, target in new.items():
        if source[name] not in old:
            continue
        weight = old[source[name]]
        if name in ours and weight.shape[1] == target.shape[1]:
            weight = F.interpolate(weight, target.shape[-2:], mode="bilinear", align_corners=False)
        given[name] = weight
    check_layers("init", given, new)
    model.load_state_dict(given)


def train_completer(
    name: str,
    train: Dataset | Incomplete,
    val: Dataset | Incomplete,
    *,
    training: TrainingConfig,
    out: Path | str,
    config: Any = None,
    vae: VDVAE | None = None,
    init: LearnedCompleter | None = None,
    masks: str | None = None,
    looking: Looking | None = None,
    on_step: Callable[[int, float], None] | None = None,
    command: str | None = None,
    recipe: Recipe | None = None,
) -> LearnedCompleter:
    """Train a completer on masked images and save it to `out`.

    Args:
        name: of the completer, one of `boed.completion.registry.LEARNED`.
        train, val: images to learn from, and to watch the loss on. Of two `Incomplete` ones no
            hidden pixel is known: the completer learns from observations alone.
        training: how long, how, and on which devices.
        out: checkpoint to write, with its recipe, its curve and a picture of samples beside it,
            the best weights by val if they are not the last, and until the end the running state.
        config: architecture; the preset for the images' size if neither it nor `vae` is given.
        vae: for `aipo` and `aipo-r`, a trained VD-VAE that stays frozen while the partial
            encoder is trained.
        init: a trained completer of this kind, or of the kind that teaches it, whose weights
            training starts from; AIPO's may be of another image size.
        masks: by which whole scenes are hidden, as `boed.data.masks.named` takes them, such as
            `top:14`; `squares` if not given.
        looking: random looks of a sensor that sees pixels, in place of masks.
        on_step: called with step and loss.
        command: what was typed, for the record.
        recipe: what was asked for, for the record; made of the arguments if not given.

    Raises:
        ValueError: an unknown completer, masks or combination, a completer that does not learn
            from observations alone, or the architecture is for images of another size, or `out`
            holds another training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    out = Path(out)
    training.check_batch(train)
    source = source_of(train, val, masks=masks, looking=looking)
    check_learns_from(name, source.name)
    if init is not None and isinstance(train, Incomplete):
        check_start(init)
    model = _begun(name, train, training, config, vae, init)
    model.check_source(source.name)
    origin = ("data", "steps", "command")
    begun = None if init is None else {k: init.provenance.get(k) for k in origin}
    about = {"data": train.name, "sha256": train.sha256, "init": begun, "masks": source.said}
    models = {"weights": init, "vae": vae}
    about |= {role: identity(each) for role, each in models.items() if each is not None}
    recipe = (recipe or Recipe(kind="completer", name=name, data=train.name)).trained(
        training, None if vae else model.config, size=train.size, **source.decided
    )
    if claim_trained(out, recipe, about, steps=training.steps):
        return LEARNED[name].load(out)
    ranks = training.ranks()
    model = model.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()

    def loss(step: int) -> torch.Tensor:
        rows = torch.randint(len(train), (training.share,))
        model.take_turn(step)
        return source.loss(model, rows, step / training.steps)

    def validate(_: nn.Module) -> dict[str, float]:
        observation, figures = source.watched(model)
        draw_samples(model, observation, samples_path(out))
        return figures

    _, progress = fit(
        model,
        loss,
        training,
        state=running_state(out),
        validate=validate,
        merit=model.merit,
        on_step=on_step,
        after_update=model.after_update,
        about=about,
    )

    def finish(_: nn.Module, progress: Progress) -> dict[str, Any]:
        header = _provenance(train, training, progress, command)
        header |= {
            "masks": source.said,
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
    train: Dataset | Incomplete,
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


def _provenance(
    train: Dataset | Incomplete, training: TrainingConfig, progress: Progress, command: str | None
) -> dict[str, Any]:
    """Where the weights come from, the last validation standing for their scores."""
    last = progress.history[-1] if progress.history else {}
    header = {**provenance(train, training, progress), "scores": last}
    return header if command is None else {**header, "command": command}
