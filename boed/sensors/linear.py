"""Any linear operator with Gaussian noise, whose information gain is known exactly."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.sensors.indirect import IndirectSensor
from boed.sensors.scanner import Shape, height_and_width, nearest


@checked
class LinearSensor(IndirectSensor):
    """Look d returns M readings y = A_d x + noise of the flattened scene x.

    A design is `[d]`, the number of the look. A classifier is shown the ridge least-squares scene,

        A^T (A A^T + ridge I)^-1 y   over the rows A taken so far,

    and beside it, for each pixel, which part of its squared weight in all of A has been taken.
    Where the scene is Gaussian, too, its posterior and the EIG about it are exact (Chaloner &
    Verdinelli 1995, "Bayesian experimental design: a review", Sec. 2).

    Args:
        operator: `[D, M, C * H * W]`.
        shape: height and width of the scene in pixels.
        channels: number of image channels C.
        noise: standard deviation sigma of a reading.
        ridge: of the reconstruction, over the mean squared norm of A's rows.

    Raises:
        ValueError: an operator that is not finite, or of another size than the scene; a ridge that
            is not positive.
    """

    def __init__(
        self,
        operator: Float[Tensor, "D M N"],
        shape: Shape,
        channels: int = 1,
        *,
        noise: float = 0.0,
        ridge: float = 1e-6,
    ) -> None:
        height, width = height_and_width(shape)
        if operator.ndim != 3 or operator.shape[2] != channels * height * width:
            raise ValueError(
                f"operator must be [D, M, {channels * height * width}] for {channels} channels of "
                f"{height} x {width} pixels, got {tuple(operator.shape)}"
            )
        if not operator.isfinite().all():
            raise ValueError("operator has NaN or infinite entries")
        if not 0 < ridge < float("inf"):
            raise ValueError(f"ridge is {ridge}, expected more than 0")
        self.channels = channels
        self.operator = operator
        looks = len(operator)
        rows = operator.flatten(0, 1).double()
        self.ridge = ridge * max(float(rows.square().sum(1).mean()), 1e-12)
        limits = torch.tensor([[0.0], [looks - 1]])
        super().__init__((height, width), torch.arange(looks)[:, None], noise, limits=limits)

    def forward(self, scene: Float[Tensor, "B C H W"]) -> Float[Tensor, "B R"]:
        """A x for the rows of all looks, `[D, M]`."""
        return scene.flatten(1) @ self._rows(scene).T

    def adjoint(self, readings: Float[Tensor, "B R"]) -> Float[Tensor, "B C H W"]:
        """A^T y."""
        return self._image(readings @ self._rows(readings))

    def reconstruct(
        self, readings: Float[Tensor, "B R"], taken: Float[Tensor, "B R"]
    ) -> Float[Tensor, "B C H W"]:
        """The ridge least-squares scene from the rows taken, in double precision."""
        rows = self._rows(readings.double())
        seen, chosen = (readings * taken).double(), taken.double()
        if rows.shape[0] <= rows.shape[1]:
            # rows not taken become unit rows of their own, with reading 0
            gram = chosen[:, :, None] * (rows @ rows.T) * chosen[:, None, :]
            gram = gram + torch.diag_embed(1 - chosen + self.ridge)
            flat = torch.linalg.solve(gram, seen) @ rows
        else:
            normal = torch.einsum("br,rn,rm->bnm", chosen, rows, rows)
            normal = normal + self.ridge * torch.eye(rows.shape[1]).to(rows)
            flat = torch.linalg.solve(normal, seen @ rows)
        return self._image(flat).to(readings)

    def taken(self, design: Float[Tensor, "B 1"]) -> Float[Tensor, "B R"]:
        """1 on the M readings of each look."""
        looks, each = self.operator.shape[:2]
        chosen = torch.arange(looks, device=design.device) == nearest(design)
        return chosen.float().repeat_interleave(each, dim=1)

    def shown(self, taken: Float[Tensor, "B R"]) -> Float[Tensor, "B 1 H W"]:
        """The part of each pixel's squared weight in A that was taken, 0 to 1."""
        weight = self._rows(taken).square()
        weight = weight.unflatten(1, (self.channels, *self.shape)).sum(1).flatten(1)
        part = (taken @ weight) / weight.sum(0).clamp(min=1e-12)
        return part.clamp(max=1).unflatten(1, self.shape)[:, None]

    def posterior(
        self,
        observation: Observation,
        mean: Float[Tensor, " N"],
        covariance: Float[Tensor, "N N"],
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B N N"]]:
        """Mean and covariance of the flattened scene, N = C * H * W, given what was read.

        With A the rows taken and the prior N(m, S):  K = S A^T (A S A^T + sigma^2 I)^-1,
        mean m + K (y - A m), covariance S - K A S.

        Args:
            observation: of this sensor.
            mean: of the Gaussian prior.
            covariance: of the Gaussian prior.

        Returns:
            Both in double precision.

        Raises:
            ValueError: a prior of another size, or no noise.
        """
        rows, chosen, readings = self._linear(observation, covariance)
        if tuple(mean.shape) != (rows.shape[1],):
            raise ValueError(f"mean must be ({rows.shape[1]},), got {tuple(mean.shape)}")
        prior, mean = covariance.to(rows), mean.to(rows)
        taken_rows = chosen[:, :, None] * rows
        cross = taken_rows @ prior  # A S, with rows of 0 where nothing was read
        inner = cross @ taken_rows.mT + self.noise**2 * torch.eye(len(rows)).to(rows)
        gain = torch.linalg.solve(inner, cross).mT
        surprise = readings - chosen * (rows @ mean)
        return mean + torch.einsum("bnr,br->bn", gain, surprise), prior - gain @ cross

    def eig(
        self, observation: Observation, covariance: Float[Tensor, "N N"]
    ) -> Float[Tensor, "B D"]:
        """Exact EIG of every look about a Gaussian scene, in nats; 0 for a look taken before.

        1/2 log det(I + A_d S A_d^T / sigma^2), S the covariance after the readings so far.

        Args:
            observation: of this sensor, or nothing.
            covariance: of the scene's Gaussian prior; EIG does not depend on its mean.

        Raises:
            ValueError: a covariance of another size, or no noise.
        """
        rows, chosen, _ = self._linear(observation, covariance)
        _, now = self.posterior(observation, torch.zeros(rows.shape[1]), covariance)
        looks, each = self.operator.shape[:2]
        fresh = ((1 - chosen)[:, :, None] * rows).unflatten(1, (looks, each))
        signal = torch.einsum("bdmn,bnk,bdlk->bdml", fresh, now, fresh) / self.noise**2
        return 0.5 * torch.logdet(torch.eye(each).to(signal) + signal)

    def _linear(
        self, observation: Observation, covariance: Tensor
    ) -> tuple[Float[Tensor, "R N"], Float[Tensor, "B R"], Float[Tensor, "B R"]]:
        """All rows of A, which were taken and what they read, in double precision."""
        if self.noise <= 0:
            raise ValueError(f"noise is {self.noise:g}; without noise the EIG is infinite")
        self._check(observation.values, "observation")
        rows = self._rows(observation.values.double())
        size = rows.shape[1]
        if tuple(covariance.shape) != (size, size):
            raise ValueError(f"covariance must be ({size}, {size}), got {tuple(covariance.shape)}")
        taken, readings = self._so_far(observation, rows.new_zeros(len(observation), len(rows)))
        return rows, taken.double(), readings.double()

    def _rows(self, like: Tensor) -> Float[Tensor, "R N"]:
        return self.operator.flatten(0, 1).to(like)

    def _image(self, flat: Tensor) -> Tensor:
        return flat.unflatten(1, (self.channels, *self.shape))

    def _check(self, scene: Tensor, name: str) -> None:
        super()._check(scene, name)
        if scene.shape[1] != self.channels:
            raise ValueError(
                f"{name} has {scene.shape[1]} channels; this sensor is for {self.channels}"
            )
