"""Tensors of a network that was pickled whole, read without running anything that the file names.

`torch.save(model)` writes a pickle that names classes and functions, which an ordinary reader
imports and calls. Here each name stands for something inert, and any other name is refused: what
comes out is arrays. The format before torch 1.6, in which torchxrayvision publishes its networks,
keeps classes as persistent objects, which `torch.load(weights_only=True)` refuses in every case.

As a script, `python -P pickled_network.py SOURCE TARGET` writes the arrays as safetensors; it needs
numpy and safetensors alone, and is a process of its own, which can crash or swell by itself.
"""

from __future__ import annotations

import math
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class _Module:
    """Stands for an object of the network's classes: it has the state that the file gives it."""


class _Storage(NamedTuple):
    """Where numbers lie in the file."""

    key: str
    dtype: str
    length: int


class _Tensor(NamedTuple):
    """A part of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _backend() -> None:
    """What modules of torch before 1.4 hold besides."""


_LAYERS = (
    "activation.ReLU",
    "batchnorm.BatchNorm2d",
    "container.Sequential",
    "conv.Conv2d",
    "linear.Linear",
    "pooling.AvgPool2d",
    "pooling.MaxPool2d",
)
_OF_DENSENET = ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition")

INERT: Mapping[str, Any] = {
    "__builtin__.set": set,
    "builtins.set": set,
    "collections.OrderedDict": OrderedDict,
    "torch.FloatStorage": "<f4",
    "torch.LongStorage": "<i8",
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.nn.backends.thnn._get_thnn_function_backend": _backend,
    **{f"torch.nn.modules.{name}": _Module for name in _LAYERS},
    **{f"torchxrayvision.models.{name}": _Module for name in _OF_DENSENET},
}
"""All names that a file may hold, and what stands for each."""


class _Unpickler(pickle.Unpickler):
    """Reads names as what stands for them, and storages as where they lie."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        known = INERT.get(f"{module}.{name}")
        if known is None:
            raise ValueError(f"it names {module}.{name}, which no DenseNet is made of")
        return known

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("module", kind, *_):
                return kind
            case ("storage", str(dtype), str(key), _, int(count), *view) if view in ([], [None]):
                return self.storages.setdefault(key, _Storage(key, dtype, count))
        raise ValueError(f"it has an object kept outside, {pid!r:.80}")


def read_network(path: Path | str) -> dict[str, np.ndarray]:
    """Parameters and buffers of a pickled network, named as in its `state_dict`.

    Args:
        path: of what `torch.save(network)` wrote, in either of its formats.

    Raises:
        ValueError: the file names anything but what a DenseNet consists of, which is not run, or
            is damaged, or not such a file.
    """
    try:
        with open(path, "rb") as file:
            read = _read_zip if zipfile.is_zipfile(file) else _read_legacy
            file.seek(0)
            network, arrays = read(file, Path(path).stat().st_size)
        return {name: _array(tensor, arrays) for name, tensor in _state(network)}
    except Exception as error:  # whatever foreign bytes lead to
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{path} is no pickled DenseNet, and nothing of it was run: {reason}"
        ) from (error)


def _read_zip(file: IO[bytes], size: int) -> tuple[Any, dict[str, np.ndarray]]:
    """The format since torch 1.6."""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError(f"it is an archive of {len(names)} pickles, expected 1")
        root = names[0].removesuffix("data.pkl")
        with archive.open(names[0]) as inner:
            unpickler = _Unpickler(inner)
            network = unpickler.load()
        arrays = {}
        for each in unpickler.storages.values():
            name = f"{root}data/{each.key}"
            if archive.getinfo(name).file_size > size:
                raise ValueError(f"{name} is larger than the file")
            arrays[each.key] = _numbers(each, archive.read(name))
    return network, arrays


def _read_legacy(file: IO[bytes], size: int) -> tuple[Any, dict[str, np.ndarray]]:
    """The format before torch 1.6: five pickles, and the numbers behind them."""
    about = [_Unpickler(file).load() for _ in range(3)]
    if about[:2] != [_MAGIC, _PROTOCOL] or about[2].get("little_endian") is not True:
        raise ValueError("it does not begin as torch.save does, on a machine of low bytes first")
    unpickler = _Unpickler(file)
    network, keys = unpickler.load(), _Unpickler(file).load()
    arrays = {}
    for key in keys:
        each = unpickler.storages[key]
        count = int.from_bytes(file.read(8), "little")
        if count != each.length or count > size:
            raise ValueError(f"storage {key} has {count} numbers, expected {each.length}")
        arrays[key] = _numbers(each, file.read(count * np.dtype(each.dtype).itemsize))
    return network, arrays


def _numbers(storage: _Storage, content: bytes) -> np.ndarray:
    numbers = np.frombuffer(content, storage.dtype)
    if len(numbers) != storage.length:
        raise ValueError(f"storage {storage.key} ends after {len(numbers)} of {storage.length}")
    return numbers


def _state(module: Any, before: str = "") -> Iterator[tuple[str, _Tensor]]:
    """Parameters and buffers with their names."""
    if not isinstance(module, _Module):
        raise ValueError(f"{before or 'it'} is a {type(module).__name__}, expected a network")
    held = vars(module)
    for name, tensor in [*held["_parameters"].items(), *held["_buffers"].items()]:
        if tensor is not None:
            yield f"{before}{name}", tensor
    for name, inner in held["_modules"].items():
        yield from _state(inner, f"{before}{name}.")


def _array(tensor: _Tensor, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The numbers of a tensor, which has to lie as its shape says."""
    _, offset, shape, strides = tensor
    count, last = math.prod(shape), offset + math.prod(shape)
    usual = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    pairs = zip(shape, strides, usual, strict=True)
    if any(length != 1 and stride != expected for length, stride, expected in pairs):
        raise ValueError(f"a tensor of shape {shape} has strides {strides}, expected {usual}")
    numbers = arrays[tensor.storage.key]
    if min((offset, *shape)) < 0 or last > len(numbers):
        raise ValueError(f"a tensor of {count} numbers begins at {offset} of {len(numbers)}")
    return numbers[offset:last].reshape(shape)


def main(source: str, target: str) -> None:
    """Write the arrays of a pickled network as safetensors."""
    from safetensors.numpy import save_file

    try:
        save_file(read_network(source), target)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
