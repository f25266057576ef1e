"""A sensor that looks up features of a table row, each at its price."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.arguments import checked
from boed.sensors.direct import DirectSensor
from boed.sensors.scanner import nearest


@checked
class Features(DirectSensor):
    """Active feature acquisition: which feature of a table row to pay for next.

    A row of F features is a scene of one channel, 1 pixel high and F wide, `[1, 1, F]`, with each
    feature scaled to [0, 1]. A design is `[index]`, the feature's column (Shim et al. 2018, "Joint
    active feature acquisition and classification").

    Args:
        names: of the features, or their number.
        costs: price of each feature, in any unit; 1 each unless given.
        noise: standard deviation of a reading, in scaled values of [0, 1].
        travel, start: cost of moving on by one column, and where the look is at first; see
            `DirectSensor`.

    Raises:
        ValueError: no feature, a name given twice, or costs that are not one positive number for
            each feature.
    """

    def __init__(
        self,
        names: int | Sequence[str],
        costs: Sequence[float] | Float[Tensor, " F"] | None = None,
        noise: float = 0.0,
        *,
        travel: float = 0.0,
        start: Float[Tensor, " 1"] | None = None,
    ) -> None:
        if isinstance(names, int):
            names = [f"feature {k}" for k in range(names)]
        if len(names) == 0 or len(set(names)) < len(names):
            raise ValueError(f"names are {list(names)}, expected at least one, and each only once")
        self.names = tuple(names)
        number = len(self.names)
        self.costs = torch.as_tensor([1.0] * number if costs is None else costs).float()
        if tuple(self.costs.shape) != (number,):
            raise ValueError(f"costs are {tuple(self.costs.shape)}, expected ({number},)")
        bad = ~(self.costs.isfinite() & (self.costs > 0))
        if bad.any():
            which = int(bad.nonzero()[0])
            raise ValueError(
                f"costs: {self.names[which]!r} costs {float(self.costs[which])}, expected more "
                "than 0; a feature that is free belongs in the first observation"
            )
        limits = torch.tensor([[0.0], [number - 1]])
        designs = torch.arange(number)[:, None]
        super().__init__((1, number), designs, noise, limits=limits, travel=travel, start=start)

    def footprint(self, design: Float[Tensor, "B 1"]) -> Float[Tensor, "B 1 1 F"]:
        """1 on each look's feature."""
        features = torch.arange(len(self.names), device=design.device)
        return (features == nearest(design)).float()[:, None, None]

    def cost(self, design: Float[Tensor, "B 1"]) -> Float[Tensor, " B"]:
        """The feature's price."""
        return self.costs.to(design.device)[nearest(design)[:, 0].long()]
