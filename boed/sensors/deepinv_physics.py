"""Any linear physics of the `deepinv` library as a sensor."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.arguments import checked
from boed.sensors.indirect import IndirectSensor
from boed.sensors.scanner import Shape, height_and_width, nearest

Reconstruction = Literal["adjoint", "dagger"]


@checked
class DeepinvSensor(IndirectSensor):
    """Readings of a `deepinv.physics.LinearPhysics`, of which each look takes some.

    A design is `[d]`, the number of the look. A classifier is shown `physics.A_adjoint` of the
    readings so far, or `physics.A_dagger`, which takes readings that are missing for zeros. The
    mask beside it shows which readings were taken where these form a picture of the scene's size,
    and else, everywhere, which part of them.

    Where `import deepinv` stops at a missing `torchvision::nms`, call
    `boed.foundation.torchvision_compat.torchvision()` first. `pip install boed[physics]` brings
    deepinv.

    Args:
        physics: with all readings that a look could take: no mask, or a mask of ones.
        shape: height and width of the scene in pixels.
        looks: which readings each look takes, `[D, R]` of 0 and 1, in the order of
            `physics.A(x).flatten(1)` (a complex reading is two); or the dimension of
            `physics.A(x)` of which each look takes one index, such as -1 for columns.
        channels: number of image channels C of the scene.
        complex_images: the physics takes complex images, as two channels, and the scene is their
            real part (MRI); shown is the magnitude.
        reconstruction: what a classifier is shown. Where `A_dagger` is iterative, a scene's result
            depends on its batch within the physics' tolerance.

    Raises:
        ValueError: a physics that is not linear or whose noise is not Gaussian, or looks that do
            not belong to its readings.
    """

    def __init__(
        self,
        physics: Any,
        shape: Shape,
        looks: int | Float[Tensor, "D R"],
        *,
        channels: int = 1,
        complex_images: bool = False,
        reconstruction: Reconstruction = "adjoint",
    ) -> None:
        if complex_images and channels != 1:
            raise ValueError(f"channels is {channels}; complex images need 1, the real part")
        if reconstruction not in ("adjoint", "dagger"):
            raise ValueError(f"reconstruction is {reconstruction!r}, expected adjoint or dagger")
        self.physics = physics
        self.channels = channels
        self.complex_images = complex_images
        self.reconstruction = reconstruction
        noise = _gaussian_noise(physics)
        device = next((part.device for part in physics.state_dict().values()), "cpu")
        with torch.no_grad():
            blank = torch.zeros(1, channels, *height_and_width(shape), device=device)
            probe = physics.A(self._lifted(blank))
        self.readings_shape, self.readings_complex = tuple(probe.shape[1:]), probe.is_complex()
        self.looks = looks if isinstance(looks, Tensor) else self._one_index_each(looks)
        number = torch.view_as_real(probe).numel() if probe.is_complex() else probe.numel()
        if self.looks.ndim != 2 or self.looks.shape[1] != number:
            raise ValueError(f"looks must be [D, {number}], got {tuple(self.looks.shape)}")
        if not ((self.looks == 0) | (self.looks == 1)).all():
            raise ValueError("looks must be 0 or 1: which readings each look takes")
        limits = torch.tensor([[0.0], [len(self.looks) - 1]])
        super().__init__(shape, torch.arange(len(self.looks))[:, None], noise, limits=limits)

    def forward(self, scene: Float[Tensor, "B C H W"]) -> Float[Tensor, "B R"]:
        """`physics.A`, flattened; complex readings as real and imaginary part."""
        read = self.physics.A(self._lifted(scene))
        return (torch.view_as_real(read) if read.is_complex() else read).flatten(1)

    def adjoint(self, readings: Float[Tensor, "B R"]) -> Float[Tensor, "B C H W"]:
        """`physics.A_adjoint`, of which a real scene gets the real part."""
        return self.physics.A_adjoint(self._shaped(readings))[:, : self.channels]

    def reconstruct(
        self, readings: Float[Tensor, "B R"], taken: Float[Tensor, "B R"]
    ) -> Float[Tensor, "B C H W"]:
        """`physics.A_adjoint` or `physics.A_dagger` of the readings taken."""
        inverse = self.physics.A_adjoint
        if self.reconstruction == "dagger":
            inverse = self.physics.A_dagger
        image = inverse(self._shaped(readings * taken))
        return image.norm(dim=1, keepdim=True) if self.complex_images else image

    def taken(self, design: Float[Tensor, "B 1"]) -> Float[Tensor, "B R"]:
        """1 on each look's readings."""
        return self.looks.to(design.device)[nearest(design)[:, 0].long()].float()

    def shown(self, taken: Float[Tensor, "B R"]) -> Float[Tensor, "B 1 H W"]:
        """Which readings were taken, as a picture; else, everywhere, which part of them."""
        if self.readings_shape[-2:] == self.shape and not self.readings_complex:
            return taken.unflatten(1, (-1, *self.shape)).mean(1, keepdim=True)
        return taken.mean(1)[:, None, None, None].expand(-1, 1, *self.shape)

    def _one_index_each(self, dimension: int) -> Float[Tensor, "D R"]:
        """The looks that take one index each along a dimension of the readings."""
        ndim = 1 + len(self.readings_shape)
        if not -ndim < dimension < ndim or dimension == 0:
            raise ValueError(
                f"looks is dimension {dimension}; physics.A(x) is {('B', *self.readings_shape)}, "
                "of which dimension 0 is the batch"
            )
        dimension %= ndim
        number = self.readings_shape[dimension - 1]
        wide = [1] * ndim
        wide[dimension] = number
        looks = torch.eye(number).view(number, *wide[1:]).expand(number, *self.readings_shape)
        looks = looks.flatten(1)
        return looks.repeat_interleave(2, dim=1) if self.readings_complex else looks

    def _lifted(self, scene: Tensor) -> Tensor:
        """The scene as the physics takes it."""
        return torch.cat([scene, torch.zeros_like(scene)], dim=1) if self.complex_images else scene

    def _shaped(self, readings: Tensor) -> Tensor:
        """Readings as `physics.A` returns them."""
        if self.readings_complex:
            parts = readings.unflatten(1, (*self.readings_shape, 2))
            return torch.view_as_complex(parts.contiguous())
        return readings.unflatten(1, self.readings_shape)

    def _check(self, scene: Tensor, name: str) -> None:
        super()._check(scene, name)
        if scene.shape[1] != self.channels:
            raise ValueError(
                f"{name} has {scene.shape[1]} channels; this sensor is for {self.channels}"
            )


def _gaussian_noise(physics: Any) -> float:
    """The physics' noise level, 0 where it has none."""
    from deepinv.physics import GaussianNoise, LinearPhysics, ZeroNoise

    if not isinstance(physics, LinearPhysics):
        raise ValueError(
            f"physics is {type(physics).__name__}, expected a deepinv.physics.LinearPhysics"
        )
    model = physics.noise_model
    if type(model) is ZeroNoise:
        return 0.0
    if type(model) is not GaussianNoise or torch.as_tensor(model.sigma).numel() != 1:
        raise ValueError(
            f"physics has noise {model}, expected a deepinv.physics.GaussianNoise with one sigma, "
            "or none"
        )
    return float(model.sigma)
