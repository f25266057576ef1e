"""What a look returns."""

from boed.sensors.deepinv_physics import DeepinvSensor
from boed.sensors.direct import DirectSensor
from boed.sensors.features import Features
from boed.sensors.foveated import Foveated
from boed.sensors.indirect import IndirectSensor
from boed.sensors.kspace import KSpaceLines
from boed.sensors.linear import LinearSensor
from boed.sensors.lines import Lines
from boed.sensors.patch import PatchSensor
from boed.sensors.pixels import PixelBlocks
from boed.sensors.projections import Projections
from boed.sensors.sensor import Sensor

__all__ = [
    "DeepinvSensor",
    "DirectSensor",
    "Features",
    "Foveated",
    "IndirectSensor",
    "KSpaceLines",
    "LinearSensor",
    "Lines",
    "PatchSensor",
    "PixelBlocks",
    "Projections",
    "Sensor",
]
