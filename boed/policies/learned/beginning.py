"""Networks that say where to look before they are trained: as new, or from another's weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.classifiers.networks.densenet import DenseNetConfig, FoldingNetwork, SmallDenseNet
from boed.classifiers.networks.fully_connected import FullyConnected
from boed.classifiers.trained import TrainedClassifier
from boed.classifiers.training import preset
from boed.data.dataset import Dataset
from boed.data.looking import EVERYTHING
from boed.foundation.files import load_weights, sha256
from boed.foundation.randomness import derive
from boed.policies.learned.backbones import FlatNet, PictureNet, SetNet, ValueConfig
from boed.policies.learned.greedy import GreedyNet
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import LookNet, NonmyopicNet, ValueNet, classifier_name
from boed.sensors.random_looks import RandomLooks
from boed.sensors.sensor import Sensor
from boed.training.checkpoints import check_layers

NETWORKS: dict[str, type[LookNet]] = {
    each.name: each for each in (ValueNet, GreedyNet, NonmyopicNet)
}
"""By the name of the policy."""


def load_network(path: Path | str) -> LookNet:
    """A trained network of any of the kinds, by its checkpoint.

    Raises:
        ValueError: the file is missing, damaged, or holds something else.
    """
    kinds = {each.kind(): each for each in NETWORKS.values()}
    _, header = load_weights(path, *kinds)
    return kinds[header["kind"]].load(path)


def begun(
    train: Dataset,
    sensor: Sensor,
    classifier: Classifier,
    *,
    looks: CandidateLooks,
    config: ValueConfig | None = None,
    kind: type[LookNet] = ValueNet,
) -> LookNet:
    """An untrained network, which says that no look gains anything.

    Of pictures it begins with the encoder of the classifier, if that is a small network; for
    anything else it knows the mean and spread of what can be read.

    Args:
        train: what it will learn from.
        sensor, classifier: what it is for.
        looks: of the sensor.
        config: the network; that for the data and the classifier if not given.
        kind: of the network.
    """
    own, config = _small_network(classifier), config or _config(train, classifier, looks)
    if kind is GreedyNet:
        names = len(train.label_names)
        config = replace(config, answers=(names, 2) if train.multi_label else (names,))
    network = kind(config, looks=looks.name, classifier=classifier_name(classifier))
    head, predictor = network.network, getattr(network, "predictor", None)
    if isinstance(head, PictureNet | FlatNet):
        if own is not None and config.encoder == own[1]:
            head.encoder.load_state_dict(own[0].features.state_dict())
            if predictor is not None:
                predictor.network.load_state_dict(own[0].state_dict())
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    assert isinstance(head, SetNet)
    scenes = train.scenes(some_rows(train, 512))
    everything = torch.full((len(scenes),), EVERYTHING)
    seen = RandomLooks(sensor, looks.shape)(scenes, everything, torch.Generator().manual_seed(0))
    numbers, _, _ = looks.read(seen.to(looks.designs.device))
    spread, size = numbers.std(0), numbers.abs().mean(0)
    for each in (head, predictor):
        if each is not None:
            each.mean.copy_(numbers.mean(0))
            each.std.copy_(spread.where(spread > 1e-6 * size, 1.0))
    return network


def start_from(network: LookNet, path: Path) -> dict[str, Any]:
    """Give a network the weights of a checkpoint; not its calibration.

    Returns:
        Where those weights come from: data, steps, command, policy, looks and checksum.

    Raises:
        ValueError: the checkpoint is of no such policy, or of a network of other layers.
    """
    theirs = load_network(path)
    ours, all_of_it = network.state_dict(), theirs.name == network.name
    given = {
        name: weight
        for name, weight in theirs.state_dict().items()
        if name != "scale" and (all_of_it or name.startswith("network."))
    }
    for each in ("weight", "bias"):  # the values as they were corrected
        given[f"network.{theirs.network.gives}.{each}"] *= getattr(theirs, "scale", 1.0)
    if isinstance(theirs.network, FlatNet) and theirs.looks != network.looks:
        raise ValueError(
            f"init {path} was trained for {theirs.looks}, not for {network.looks}: its network "
            "has an output for each of its looks"
        )
    if isinstance(theirs.network, PictureNet) and isinstance(network.network, PictureNet):
        given |= theirs.network.places_of(network.network.fine)
    expected = [name for name in ours if name in given or (all_of_it and name != "scale")]
    check_layers(f"init {path}", given, {name: ours[name] for name in expected})
    network.load_state_dict(given, strict=False)
    origin = {name: theirs.provenance.get(name) for name in ("data", "steps", "command")}
    return {**origin, "policy": theirs.name, "looks": theirs.looks, "sha256": sha256(path)}


def _config(train: Dataset, classifier: Classifier, looks: CandidateLooks) -> ValueConfig:
    """A network of pictures where the scenes are such, as fine as the looks lie."""
    own = _small_network(classifier)
    if looks.picture and train.shape[0] == train.shape[1]:
        if own is not None and own[1].kind == "mlp":
            return ValueConfig(encoder=own[1], candidates=len(looks))
        encoder = preset(train)[0] if own is None else own[1]
        if own is None:
            pixels = train.scenes().double()
            encoder = replace(encoder, mean=float(pixels.mean()), std=float(pixels.std()))
        cells, blocks = train.size // encoder.stem, len(encoder.layers)
        if train.size % encoder.stem == 0 and cells >= 2 ** (blocks - 1):
            return ValueConfig(encoder=encoder, fine=_fineness(looks, encoder))
    return ValueConfig(
        numbers=looks.numbers,
        readings=looks.shown.shape[1],
        entries=looks.designs.shape[1],
        width=128,
    )


def _fineness(looks: CandidateLooks, encoder: DenseNetConfig) -> int:
    """The least division of the encoder's cells by which all looks differ; its stem if none is."""
    cells = encoder.size // encoder.stem
    for fine in range(1, encoder.stem):
        if encoder.stem % fine == 0:
            over, _ = looks.over_cells(cells * fine, cells * fine)
            if len(over.mul(1e4).round().unique(dim=0)) == len(looks):
                return fine
    return encoder.stem


def _small_network(classifier: Classifier) -> tuple[FoldingNetwork, DenseNetConfig] | None:
    """The folded network of a classifier whose encoder a value network can begin with."""
    if not isinstance(classifier, TrainedClassifier):
        return None
    network = classifier.lead.network
    if not isinstance(network, SmallDenseNet | FullyConnected):
        return None
    folded = copy.deepcopy(network)
    folded.fold()
    return folded, classifier.config


def some_rows(data: Dataset, number: int) -> Tensor:
    """Rows of a data set, always the same."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(derive("some")))
    return order[:number]
