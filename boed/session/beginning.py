"""How a session begins: the scene that it is about, and the log that is its own."""

from __future__ import annotations

from boed.acquisition import Acquisition
from boed.foundation.checks import attribute
from boed.foundation.identity import identity
from boed.sensors.sensor import Sensor
from boed.session.log import Log


def begin(log: Log, start: Acquisition, seed: int) -> None:
    """Write what session this is, or make sure that the log is of this one.

    Raises:
        ValueError: the log is of another session.
        OSError: the log cannot be written.
    """
    facts = {
        "shape": list(start.observation.values.shape[1:]),
        "seed": seed,
        "budget": {"cost": start.budget.cost, "seconds": start.budget.seconds},
        "sensor": identity(start.sensor),
        "policy": identity(start.policy),
        "classifier": identity(start.classifier),
    }
    log.begin(facts, {"log_belief": start.log_belief[0].cpu().numpy()})


def scene_shape(sensor: Sensor, shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Channels, height and width of the scene, one channel of the sensor's own if not given.

    Raises:
        ValueError: they are missing or wrong.
    """
    if shape is None:
        sides = attribute(sensor, "shape", None)
        if not isinstance(sides, tuple):
            raise ValueError(
                f"shape is not given and {type(sensor).__name__} has no shape (height, width); "
                "expected shape=(channels, height, width)"
            )
        return (1, *sides)
    if len(shape) != 3 or not all(isinstance(each, int) and each > 0 for each in shape):
        raise ValueError(f"shape is {shape}, expected (channels, height, width), all above 0")
    return shape
