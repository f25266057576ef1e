"""What a look returns."""

from boed.sensors.patch import PatchSensor
from boed.sensors.sensor import Sensor

__all__ = ["PatchSensor", "Sensor"]
