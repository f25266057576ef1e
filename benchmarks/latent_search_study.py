"""The GAN, the scenes, the masks and the methods of benchmarks/latent_search.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from inpainting import observed
from torch import Tensor

from boed.benchmark.sweep import scene_rows
from boed.completion import Completer
from boed.completion.adversarial.latent_search import GANLatent
from boed.completion.registry import load_completer
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.foundation.shipped import shipped, shipped_names
from boed.zoo import Context

SETS = {"digits": 32, "kermany_pneumonia_128": 64, "cifar10_jpeg_32": 32}
"""Data sets, and the width in pixels of their scenes."""

MASKS = {
    "centre": "centre_hole:0.5",
    "pattern": "pattern:0.25",
    "random 80 %": "dropped:0.8",
    "half": "half",
}
"""The paper's four, by the names of its Table 1."""

CURVE = (25, 50, 100, 200, 400, 800, 1500)
"""Iterations at which PSNR is asked for, up to the paper's."""

SEARCHES: dict[str, dict[str, Any]] = {
    "gan-latent": {},
    "without prior": {"prior": 0.0},
    "unweighted": {"weighted": False},
    "-log D": {"prior_form": "non-saturating"},
    "l2": {"norm": "l2"},
}
"""Ways to search, which differ from the first in one thing; overlaying is told from the same."""

FITTED = ("tv", "low-rank", "patch-match", "harmonic")
"""Methods without training beside the nearest scene and the mirror image."""


@dataclass(frozen=True)
class Study:
    """A trained model, how many scenes, where the others lie, and how far searches go at most."""

    model: GANLatent
    test: Dataset
    context: Context
    _: KW_ONLY
    models: Path
    scenes: int
    most: int
    seed: int

    def truth(self, number: int, start: int = 0) -> Tensor:
        """Test scenes, fewer always the first of more."""
        rows = torch.from_numpy(scene_rows(len(self.test), start + number)[start:])
        return self.test.scenes(rows)

    def observed(self, scenes: Tensor, masks: str) -> Observation:
        """What is seen under masks of a name."""
        return observed(scenes, masks, self.seed)

    def seeds(self, masks: str, number: int) -> list[int]:
        return [derive(self.seed, masks, row) for row in range(number)]

    def changed(self, **changes: Any) -> GANLatent:
        """The model with another search."""
        model = GANLatent(replace(self.model.config, **changes)).eval()
        model.load_state_dict(self.model.state_dict())
        return model


class Mirror:
    """The other half of a scene of which one was seen, turned over."""

    deterministic = True

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        """Scenes `[n, B, C, H, W]`; black where the mirrored pixel was not seen."""
        scenes = observation.values
        for axis in (-1, -2):
            other = observation.mask.flip(axis)
            whole = torch.maximum(other, observation.mask).amin((1, 2, 3), keepdim=True) > 0
            scenes = torch.where(whole & (other > 0), observation.values.flip(axis), scenes)
        return observation.composite(scenes).expand(n, -1, -1, -1, -1)


def others(study: Study, mask: str) -> dict[str, Callable[[], Completer]]:
    """What else can complete scenes under a mask, made when it is needed."""
    methods: dict[str, Callable[[], Completer]] = {}
    encoder = checkpoint(study.models, "ce", mask)
    if encoder.exists():
        methods["ce"] = partial(load_completer, encoder)
    for name in FITTED:
        if name != "patch-match" or mask != "random 80 %":  # under which no patch is seen whole
            methods[name] = partial(study.context.fitted, name)
    methods["nearest"] = partial(study.context.fitted, "retrieval")
    if mask == "half":
        methods["mirror"] = Mirror
    return methods


def gan(models: Path, data: str) -> Path:
    """Where the weights of the GAN lie: those that were trained here, or the shipped ones."""
    own, name = checkpoint(models, "gan-latent"), f"gan-latent-{data}-{SETS[data]}"
    return own if own.exists() or name not in shipped_names() else shipped(name)


def checkpoint(models: Path, kind: str, mask: str | None = None) -> Path:
    """Where the weights of the GAN, or of the encoder for a mask, lie."""
    own = "" if mask is None else f"-{mask.split()[0]}"
    return models / f"{kind}{own}.safetensors"
