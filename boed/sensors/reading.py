"""What an instrument returns for one look, and what is known after it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.checks import attribute, called, calling, describe
from boed.sensors.sensor import ROUNDING, Sensor, look
from boed.sensors.travel import moved


def reading_shape(
    sensor: Sensor, observation: Observation, design: Float[Tensor, " K"]
) -> tuple[int, ...]:
    """Shape of the reading of one look.

    Of a sensor that sees pixels it is the picture `[C, h, w]` of those that the look shows, or
    `[C, n]`, row by row, where they are no rectangle. Of another sensor it is the vector of the
    readings that the look takes, in their order.

    Args:
        sensor: which takes it.
        observation: of one scene.
        design: the look.
    """
    return _Look(sensor, observation, design).shape


def pixels_of(
    sensor: Sensor, observation: Observation, design: Float[Tensor, " K"]
) -> Bool[Tensor, "H W"] | None:
    """The pixels that the reading of a look holds, row by row; None where it holds no pixels."""
    where = _Look(sensor, observation, design)
    return where.seen if where.taken is None else None


def read(
    sensor: Sensor, scene: Float[Tensor, "1 C H W"], design: Float[Tensor, " K"], *, seed: int = 0
) -> Tensor:
    """What an instrument that sees `scene` would return for a look.

    Args:
        sensor: its model.
        scene: the whole scene.
        design: the look.
        seed: of the noise, where the sensor has any.
    """
    blank = Observation.nothing_of(scene)
    after = look(sensor, blank, scene, design=design[None], seeds=[seed])
    return _Look(sensor, blank, design).cut(after)


def record(
    sensor: Sensor, observation: Observation, *, design: Float[Tensor, " K"], reading: ArrayLike
) -> Observation:
    """What is known of a scene after an instrument returned `reading` for a look.

    What had been read before stays as it was read.

    Args:
        sensor: model of the instrument.
        observation: what was known before, of one scene.
        design: the look.
        reading: of `reading_shape`: pixels in [0, 1], or readings in the sensor's unit.

    Raises:
        ValueError: a reading of another shape, that is not finite, of whole numbers, or of a sensor
            that returns no pixels and does not say how to go on from readings.
    """
    where = _Look(sensor, observation, design)
    given = floating(reading).to(observation.values)
    if tuple(given.shape) != where.shape:
        raise ValueError(
            f"reading is {tuple(given.shape)}, expected {where.shape} for the look "
            f"{design.tolist()} of {type(sensor).__name__}"
        )
    if not given.isfinite().all():
        raise ValueError(
            f"reading has {int((~given.isfinite()).sum())} NaN or infinite entries of "
            f"{given.numel()}; expected finite numbers"
        )
    return moved(sensor, where.after(observation, given), design[None])


def floating(reading: ArrayLike) -> Tensor:
    """A reading's numbers, in float32, of whatever kind of array they are.

    Raises:
        ValueError: they are no floating-point numbers, or some are masked.
    """
    if isinstance(reading, np.ma.MaskedArray) and np.ma.is_masked(reading):
        raise ValueError(
            f"reading has {np.ma.count_masked(reading)} masked entries of {reading.size}; expected "
            "all of them, or None for a look that failed"
        )
    if isinstance(reading, np.ndarray) and reading.dtype.kind == "f":  # in any order of bytes
        reading = reading.astype(np.float32)
    try:
        given = torch.as_tensor(reading)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"reading is {describe(reading)}, expected an array: {error}") from error
    if not given.is_floating_point():
        raise ValueError(
            f"reading is {str(given.dtype).removeprefix('torch.')}, expected floating-point "
            "numbers, pixels in [0, 1]; divide counts by the highest that there is"
        )
    return given.detach().to_dense().float()


class _Look:
    """Where in an observation the reading of one look belongs."""

    def __init__(self, sensor: Sensor, observation: Observation, design: Tensor) -> None:
        blank = Observation.nothing(
            1, observation.channels, observation.shape, device=observation.device
        )
        self.sensor, self.design = sensor, design
        alone = look(sensor, blank, blank.values, design=design[None], seeds=[0])
        self.taken = alone.taken
        self.mask = alone.mask
        self.seen = alone.mask[0, 0] > 0
        self.channels = observation.channels
        if self.taken is not None:
            self.shape: tuple[int, ...] = (int((self.taken > 0).sum()),)
            return
        number = int(self.seen.sum())
        height, width = int(self.seen.any(1).sum()), int(self.seen.any(0).sum())
        rectangle = height * width == number
        self.shape = (self.channels, *((height, width) if rectangle else (number,)))

    def cut(self, after: Observation) -> Tensor:
        """The look's reading, out of what is known after it alone."""
        if self.taken is not None:
            assert after.readings is not None
            return after.readings[self.taken > 0]
        return after.values[0][:, self.seen].reshape(self.shape)

    def after(self, observation: Observation, reading: Tensor) -> Observation:
        """The observation with the reading added."""
        if self.taken is not None:
            name = called(self.sensor, "with_readings")
            if not callable(attribute(self.sensor, "with_readings", None)):
                raise ValueError(
                    f"sensor: {type(self.sensor).__name__} returns readings that are no pixels; to "
                    f"go on from an instrument's, it needs {name}(observation, readings, taken)"
                )
            everything = reading.new_zeros(self.taken.shape)
            everything[self.taken > 0] = reading
            with calling(self.sensor, "with_readings"):
                return self.sensor.with_readings(  # type: ignore[attr-defined, no-any-return]
                    observation, everything, self.taken
                )
        noisy = attribute(self.sensor, "noise", 0) > 0
        if not noisy and (reading.min() < -ROUNDING or reading.max() > 1 + ROUNDING):
            raise ValueError(
                f"reading spans [{float(reading.min()):.3g}, {float(reading.max()):.3g}], expected "
                "pixels in [0, 1]; a sensor with noise says so with an attribute `noise` above 0"
            )
        canvas = torch.zeros_like(observation.values)
        canvas[0][:, self.seen] = reading.reshape(self.channels, -1)
        return observation.with_seen(canvas, self.mask * (observation.mask <= 0))
