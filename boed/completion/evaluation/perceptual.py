"""LPIPS, the perceptual distance of two images, by the user's own backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.torchvision_compat import torchvision

BACKBONES = {
    "features.0.weight (64, 3, 11, 11)": "alex",
    "features.28.weight (512, 512, 3, 3)": "vgg",
    "features.3.squeeze.weight (16, 64, 1, 1)": "squeeze",
}
"""Networks that LPIPS is published for, by a tensor that only that one has."""

SMALLEST = 32
"""Width in pixels below which the backbones' layers have nothing left to read."""


class LPIPS:
    """LPIPS (Zhang et al. 2018) as squared distances between embeddings of images.

    With unit-length activations f_l(x) at the H_l x W_l places of layer l and the published
    weights w_l, LPIPS is sum_l mean_hw |sqrt(w_l) (f_l(x) - f_l(y))|^2: the squared Euclidean
    distance of the vectors of all sqrt(w_l / (H_l W_l)) f_l. The mean over all pairs of n images
    is then twice their total variance, and no pair has to be looked at.

    Args:
        weights: state dictionary of torchvision's `alexnet`, `vgg16` or `squeezenet1_1` trained on
            ImageNet, such as `alexnet-owt-7be5be79.pth`; read without executing anything in it.
            The package `lpips` has the weights of the layers, and none of a backbone.

    Raises:
        ValueError: lpips is not installed, the file is missing, or not such weights.
    """

    def __init__(self, weights: Path | str) -> None:
        torchvision()
        try:
            import lpips
        except ImportError as error:
            raise ValueError(
                "lpips needs the package of that name: pip install 'boed[lpips]'"
            ) from error
        if not Path(weights).is_file():
            raise ValueError(f"lpips weights {weights} do not exist")
        try:
            held = torch.load(weights, map_location="cpu", weights_only=True)  # runs no code
        except Exception as error:  # an unpickler of foreign bytes
            raise ValueError(f"lpips weights {weights} cannot be read: {error}") from error
        kind = _backbone(held, weights)
        # pnet_rand leaves the backbone untrained, where the package would download one
        self._model = lpips.LPIPS(net=kind, pnet_rand=True, verbose=False).eval()
        self._model.requires_grad_(False)
        self._unit = lpips.normalize_tensor
        own = {name: f"features.{name.split('.', 1)[1]}" for name in self._model.net.state_dict()}
        try:
            self._model.net.load_state_dict({name: held[key] for name, key in own.items()})
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"lpips weights {weights} are no whole {kind}: {error}") from error
        self.name = f"LPIPS ({kind})"

    def check(self, scenes: Float[Tensor, "B C H W"]) -> None:
        """Refuse scenes that are too small for the backbone.

        Raises:
            ValueError: saying how large they have to be.
        """
        if min(scenes.shape[-2:]) < SMALLEST:
            raise ValueError(
                f"lpips: scenes are {scenes.shape[-2]} x {scenes.shape[-1]} pixels, expected "
                f"{SMALLEST} or more"
            )

    @torch.no_grad()
    def embedded(self, scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """Vectors whose squared distances are LPIPS.

        Args:
            scenes: in [0, 1], of one or three channels.

        Raises:
            ValueError: see `check`.
        """
        self.check(scenes)
        colour = scenes.expand(-1, 3, -1, -1)
        layers = self._model.net(self._model.scaling_layer(2 * colour - 1))
        parts = []
        for layer, linear in zip(layers, self._model.lins, strict=True):
            weight = linear.model[-1].weight[0] / (layer.shape[2] * layer.shape[3])  # [K, 1, 1]
            parts.append((weight.sqrt() * self._unit(layer)).flatten(1))
        return torch.cat(parts, dim=1)


def from_truth(
    perceptual: LPIPS, scenes: Float[Tensor, "n B C H W"], truth: Float[Tensor, "B C H W"]
) -> tuple[Float[Tensor, "n B"], Float[Tensor, " B"]]:
    """LPIPS of completions to the true scenes, and its mean over pairs of them.

    A scene at a time, since embeddings of large images are large.
    """
    distances, between = [], []
    for row in range(len(truth)):
        vectors = perceptual.embedded(torch.cat([truth[row : row + 1], scenes[:, row]]))
        distances.append((vectors[1:] - vectors[0]).square().sum(1))
        between.append(2 * vectors[1:].var(0).sum())
    return torch.stack(distances, dim=1), torch.stack(between)


def _backbone(held: Any, weights: Path | str) -> str:
    """Which network a state dictionary is of."""
    tensors = held if isinstance(held, dict) else {}
    shapes = {f"{name} {tuple(getattr(each, 'shape', ()))}" for name, each in tensors.items()}
    for told, kind in BACKBONES.items():
        if told in shapes:
            return kind
    raise ValueError(
        f"lpips weights {weights} are no state dictionary of torchvision's alexnet, vgg16 or "
        "squeezenet1_1"
    )
