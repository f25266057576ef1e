"""What belongs to which data set by default: width, models, and what a run is judged by."""

from __future__ import annotations

from dataclasses import replace

from boed.classifiers.evaluation.primary import Primary
from boed.data.dataset import Dataset
from boed.sensors import Foveated, KSpaceLines, Lines, PixelBlocks, Projections

FAMILY: dict[str, str] = {
    "digits": "digits",
    "mnist_28": "digits",
    "kermany_pneumonia_128": "kermany",
    "cifar10_jpeg_32": "cifar10",
    "cifar10": "cifar10",
}
"""Data sets whose scenes are of one kind, by the word that stands for them in names of models."""

DEFAULT_SIZE = {
    "digits": 32,
    "mnist_28": 32,
    "kermany_pneumonia_128": 64,
    "cifar10_jpeg_32": 32,
    "cifar10": 32,
}
"""Width in pixels at which a data set is read when none is asked for."""

DEFAULT_COMPLETER = {"kermany": "flow", "digits": "aipo", "cifar10": "flow"}
"""What did best of the completers that learn, by docs/completers.md; what is needed most first."""

PRIMARY = {
    "kermany": Primary("auroc", 2),
    "cifar10": Primary("accuracy", 2),
    "digits": Primary("accuracy", 2),
}
"""What a run is judged by, unless it says otherwise: by family, as the data's cards say too."""

LOOKS: dict[type, str] = {
    KSpaceLines: "kspace",
    PixelBlocks: "pixels",
    Projections: "projections",
    Foveated: "foveated",
    Lines: "lines",
}
"""Sensors that have classifiers of their own, by the word that stands for them in names of models;
other sensors that see pixels use those that were trained on patches."""


def primary_for(data: Dataset, steps: int) -> Primary:
    """The primary outcome of a data set, after no more looks than are taken."""
    usual = Primary.usual(answers=len(data.label_names), multi_label=data.multi_label, steps=steps)
    named = PRIMARY.get(FAMILY.get(data.name, ""), usual)
    return replace(named, looks=min(named.looks, steps))
