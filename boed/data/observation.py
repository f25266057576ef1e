"""What has been measured of a batch of scenes so far: values, and where they were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.foundation.checks import describe


@dataclass(frozen=True, eq=False)
class Observation:
    """Partly seen scenes.

    Most sensors see pixels: `values` and `mask` say everything. One that does not (k-space,
    projections, any operator) keeps what it read in `readings` and shows in `values` what can be
    made of it, such as a zero-filled reconstruction, which is what a classifier is shown.

    >>> import torch
    >>> scene = torch.rand(2, 1, 8, 8)
    >>> left_half = torch.zeros(2, 1, 8, 8)
    >>> left_half[..., :4] = 1
    >>> seen = Observation.nothing_of(scene).with_seen(scene, left_half)
    >>> seen.fraction_seen
    tensor([0.5000, 0.5000])

    Attributes:
        values: measured pixel values in [0, 1], zero where unseen, `[B, C, H, W]`; a
            reconstruction where there are `readings`.
        mask: 1 where a pixel was measured, 0 elsewhere, `[B, 1, H, W]`; with `readings`, where
            the sensor says that it looked.
        readings: what an indirect sensor read, zero where it has not, `[B, R]`.
        taken: 1 for the readings that were taken, `[B, R]`.
        position: the last look's design, where it costs something to move from there, `[B, K]`; NaN
            before the first look.

    Raises:
        ValueError: shapes that do not belong together.
    """

    values: Float[Tensor, "B C H W"]
    mask: Float[Tensor, "B 1 H W"]
    _: KW_ONLY
    readings: Float[Tensor, "B R"] | None = None
    taken: Float[Tensor, "B R"] | None = None
    position: Float[Tensor, "B K"] | None = None

    def __post_init__(self) -> None:
        for name in PARTS:
            part = getattr(self, name)
            if not isinstance(part, Tensor) and (part is not None or name in ("values", "mask")):
                raise ValueError(f"{name} is {describe(part)}, expected a tensor")
        if self.values.ndim != 4:
            raise ValueError(f"values must be [B, C, H, W], got {tuple(self.values.shape)}")
        batch, _, height, width = self.values.shape
        if self.mask.shape != (batch, 1, height, width):
            raise ValueError(
                f"mask must be {(batch, 1, height, width)} to go with values "
                f"{tuple(self.values.shape)}, got {tuple(self.mask.shape)}"
            )
        if (self.readings is None) != (self.taken is None):
            raise ValueError("readings and taken belong together: give both, or neither")
        if self.readings is not None and self.taken is not None:
            shape = tuple(self.readings.shape)
            if len(shape) != 2 or shape[0] != batch or self.taken.shape != shape:
                raise ValueError(
                    f"readings and taken must be [{batch}, R] to go with values "
                    f"{tuple(self.values.shape)}, got {shape} and {tuple(self.taken.shape)}"
                )
        if self.position is not None and self.position.shape[:1] != (batch,):
            raise ValueError(
                f"position must be [{batch}, K] to go with values {tuple(self.values.shape)}, "
                f"got {tuple(self.position.shape)}"
            )

    @classmethod
    def of(cls, scene: Float[Tensor, "B C H W"], mask: Float[Tensor, "B 1 H W"]) -> Observation:
        """See `scene` where `mask` is 1."""
        return cls(scene * mask, mask)

    @classmethod
    def nothing(
        cls,
        batch: int,
        channels: int,
        size: int | tuple[int, int],
        *,
        device: torch.device | str = "cpu",
    ) -> Observation:
        """Nothing seen yet, of `batch` scenes of `size` x `size` pixels, or of (height, width)."""
        height, width = (size, size) if isinstance(size, int) else size
        values = torch.zeros(batch, channels, height, width, device=device)
        return cls(values, torch.zeros(batch, 1, height, width, device=device))

    @classmethod
    def nothing_of(cls, scene: Float[Tensor, "B C H W"]) -> Observation:
        """Nothing seen yet of `scene`."""
        return cls(torch.zeros_like(scene), torch.zeros_like(scene[:, :1]))

    @classmethod
    def everything(cls, scene: Float[Tensor, "B C H W"]) -> Observation:
        """All of `scene` seen."""
        return cls(scene, torch.ones_like(scene[:, :1]))

    @classmethod
    def joined(cls, several: Sequence[Observation]) -> Observation:
        """One batch of several, one after the other; the last has all the parts that any has."""
        parts = [each._parts(several[-1]) for each in several]
        return cls(**{name: torch.cat([each[name] for each in parts]) for name in parts[-1]})

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Observation:
        return self._each(lambda part: part[index])

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the scene in pixels."""
        return self.values.shape[-2], self.values.shape[-1]

    @property
    def size(self) -> int:
        """Width of the scene in pixels."""
        return self.values.shape[-1]

    @property
    def channels(self) -> int:
        """Number of image channels C."""
        return self.values.shape[1]

    @property
    def seen(self) -> Float[Tensor, "B R"]:
        """1 for everything that was measured: the readings taken, else the pixels seen."""
        return self.mask.flatten(1) if self.taken is None else self.taken

    @property
    def fraction_seen(self) -> Float[Tensor, " B"]:
        """Fraction of each scene's pixels, or of the readings there are, that was measured."""
        return self.seen.mean(1)

    def to(self, device: torch.device | str) -> Observation:
        return self._each(lambda part: part.to(device))

    def repeat(self, n: int) -> Observation:
        """`n` copies of the batch, one after the other: `[n * B, ...]`."""
        return self._each(lambda part: part.repeat(n, *(1,) * (part.ndim - 1)))

    def with_rows(self, rows: Int64[Tensor, " b"], other: Observation) -> Observation:
        """This observation with the scenes at `rows` replaced by those of `other`.

        Where only one of the two has readings, none has been taken of the other's scenes.

        Raises:
            ValueError: scenes, or readings, of another shape.
        """
        ours, theirs = self._parts(other), other._parts(self)
        if any(part.shape[1:] != theirs[name].shape[1:] for name, part in ours.items()):
            raise ValueError(
                f"other has values, mask and readings {[tuple(p.shape) for p in theirs.values()]}, "
                f"which cannot replace scenes of {[tuple(p.shape) for p in ours.values()]}"
            )
        return Observation(
            **{name: part.index_put((rows,), theirs[name]) for name, part in ours.items()}
        )

    def network_input(
        self, mean: float, std: float, *, reconstruction: bool = False
    ) -> Float[Tensor, "B C+1 H W"]:
        """What networks read: standardised values, zero where unseen, and the mask behind them.

        As in Harvey et al. 2021, Sec. 3.

        Args:
            mean, std: of the training set's pixels.
            reconstruction: count as seen all of what is made of the readings of an indirect
                sensor, as soon as one has been taken, and not only where the mask is 1.
        """
        known = self.mask
        if reconstruction and self.taken is not None:
            known = self.taken.amax(1)[:, None, None, None]
        return torch.cat([(self.values - mean) / std * known, self.mask], dim=1)

    def with_seen(
        self, scene: Float[Tensor, "B C H W"], mask: Float[Tensor, "B 1 H W"]
    ) -> Observation:
        """The observation after `scene` has also been measured where `mask` is 1.

        Raises:
            ValueError: there are readings of an indirect sensor, which has no pixels to add to, or
                the mask is of another shape.
        """
        if self.readings is not None:
            raise ValueError("observation has readings of an indirect sensor: cannot add pixels")
        try:
            fits = torch.broadcast_shapes(mask.shape, self.mask.shape) == self.mask.shape
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(
                f"mask is {tuple(mask.shape)}, expected {tuple(self.mask.shape)}: 1 where the "
                "scene was measured, 0 elsewhere"
            )
        return Observation(
            torch.where(mask > 0, scene, self.values),
            torch.maximum(self.mask, mask),
            position=self.position,
        )

    def composite(self, scenes: Float[Tensor, "*n B C H W"]) -> Float[Tensor, "*n B C H W"]:
        """`scenes` with every measured pixel replaced by its measured value.

        Scenes seen by an indirect sensor come back as they are: it measures no pixel.
        """
        if self.readings is not None:
            return scenes
        return torch.where(self.mask > 0, self.values, scenes)

    def _parts(self, other: Observation) -> dict[str, Tensor]:
        """The parts that one of the two observations has; nothing where it is the other one."""
        parts = {}
        for name in PARTS:
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours is not None:
                parts[name] = ours
            elif theirs is not None:
                unknown = torch.nan if name == "position" else 0.0
                parts[name] = theirs.new_full((len(self), *theirs.shape[1:]), unknown)
        return parts

    def _each(self, change: Callable[[Tensor], Tensor]) -> Observation:
        parts = {name: getattr(self, name) for name in PARTS}
        return Observation(
            **{name: change(part) for name, part in parts.items() if part is not None}
        )


PARTS = ("values", "mask", "readings", "taken", "position")
"""The tensors of an observation."""


def check_scenes(scenes: Tensor, name: str = "scenes") -> None:
    """Refuse a batch that is not `[B, C, H, W]`, finite and within [0, 1].

    Raises:
        ValueError: naming the argument, what was given and what is expected.
    """
    if scenes.ndim != 4:
        raise ValueError(f"{name} must be [B, C, H, W], got {tuple(scenes.shape)}")
    if not torch.isfinite(scenes).all():
        bad = int((~torch.isfinite(scenes)).sum())
        raise ValueError(f"{name} has {bad} NaN or infinite pixels; expected values in [0, 1]")
    if scenes.min() < 0 or scenes.max() > 1:
        low, high = float(scenes.min()), float(scenes.max())
        raise ValueError(f"{name} spans [{low:.3g}, {high:.3g}]; expected values in [0, 1]")
