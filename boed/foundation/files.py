"""Files that are whole or not there: atomic writes, checksums, weights with provenance."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from boed.foundation.shipped import WEIGHTS

M = TypeVar("M", bound=nn.Module)


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    Raises:
        OSError: the folder cannot be written or the disk is full, whatever the block raises then;
            the message names `path`, which is as it was.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except Exception as error:
        # netCDF and safetensors have other words for a full disk, so the disk itself is asked
        if isinstance(error, OSError) or _is_full(target.parent):
            raise unwritable(target, error) from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: Exception) -> OSError:
    """The error of a file that could not be written, which says so if the disk is full."""
    full = _says_full(error) or _is_full(path.parent)
    return OSError(f"could not write {path}: {f'disk full ({error})' if full else error}")


def _says_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


_PROBE = 1 << 24
"""Bytes that have to fit on a disk that is not full."""


def _is_full(folder: Path) -> bool:
    """Whether a folder's disk, quota or limit takes no more."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return _says_full(error)
    return False


def sha256(path: Path | str) -> str:
    """Checksum of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_weights(path: Path | str, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors as safetensors; `header` (configuration and provenance) travels inside."""
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            {"boed": json.dumps(header)},
        )


def save_model(
    path: Path | str,
    model: nn.Module,
    header: dict[str, Any],
    *,
    stored: torch.dtype = torch.float16,
) -> None:
    """Write a model's weights, rounded to `stored`; the model goes on with what was written.

    So it does what a reader of the file does. Buffers, such as statistics of what is read, stay
    as they are: their unit is the user's.
    """
    learned = {name for name, _ in model.named_parameters()}
    tensors = {k: v.to(stored) if k in learned else v for k, v in model.state_dict().items()}
    save_weights(path, tensors, header)
    model.load_state_dict(tensors)


def load_weights(path: Path | str, *kinds: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_weights` wrote. Nothing in the file is executed.

    Args:
        path: of the file, or of the folder of a model with its `weights.safetensors`.
        kinds: one of which the header must say that it holds, if any is given.

    Raises:
        ValueError: the file is missing, damaged, not one of ours, or of another kind.
    """
    from safetensors import safe_open

    if Path(path).is_dir():
        path = Path(path) / WEIGHTS
    if not Path(path).exists():
        raise ValueError(f"checkpoint {path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata["boed"])
        if not isinstance(header, dict):
            raise ValueError(f"its header is a {type(header).__name__}, expected an object")
    except Exception as error:  # a parser of foreign bytes
        raise ValueError(
            f"checkpoint {path} is damaged or was not written by boed ({error}); "
            "expected a .safetensors file from `boed train`"
        ) from error
    if kinds and header.get("kind") not in kinds:
        expected = " or ".join(map(repr, kinds))
        raise ValueError(f"checkpoint {path} holds {header.get('kind')!r}, expected {expected}")
    return tensors, header


def read_model(
    path: Path | str, build: Callable[[dict[str, Any], dict[str, Tensor]], M], *kinds: str
) -> M:
    """A trained model from its checkpoint, in evaluation mode; the file is read once.

    Args:
        path: of the file.
        build: header and tensors to the model that they are of, whose weights are then loaded.
        kinds: one of which the header must say that it holds.

    Returns:
        The model, the header as its `provenance`.

    Raises:
        ValueError: the file is missing, damaged, of another kind, or its weights do not fit the
            model that its header describes.
    """
    tensors, header = load_weights(path, *kinds)
    try:
        _check_numbers(header.get("config"))
        with _no_larger_than(tensors), torch.device("meta"):  # takes no memory
            build(header, tensors)
        model = build(header, tensors)
        model.load_state_dict(tensors)
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and tensor.isnan().any():
                raise ValueError(f"{name} holds NaN")
    except Exception as error:  # whatever a constructor makes of what a header says
        reason = str(error) or type(error).__name__
        raise ValueError(f"checkpoint {path} does not fit its configuration: {reason}") from error
    model.provenance = header  # type: ignore[assignment]
    return model.eval()


_LARGEST = 1_000_000
"""Of the whole numbers in an architecture: widths, layers, sizes."""


def _check_numbers(config: Any) -> None:
    """Refuse numbers that no architecture has, also within its words, before they are looped over.

    Raises:
        ValueError: naming the number.
    """
    if isinstance(config, Mapping):
        config = list(config.values())
    if isinstance(config, list):
        for each in config:
            _check_numbers(each)
    numbers = re.findall(r"\d+", config) if isinstance(config, str) else []
    if isinstance(config, int | float):
        numbers = [config]
    for number in numbers:
        if not abs(float(number)) <= _LARGEST:
            raise ValueError(f"its config holds {number}, expected at most {_LARGEST:,}")


@contextmanager
def _no_larger_than(tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Stop the building of a model as soon as it is far larger than what its file holds.

    Raises:
        ValueError: it has many times as many parameters.
    """
    most = 4 * sum(each.numel() for each in tensors.values()) + 10_000
    most_tensors, built, numbers = 4 * len(tensors) + 1_000, 0, 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal built, numbers
        built += 1
        numbers += 0 if parameter is None else parameter.numel()
        if numbers > most or built > most_tensors:
            raise ValueError(
                f"it describes a model of {numbers:,} parameters or more; the file holds "
                f"{sum(each.numel() for each in tensors.values()):,} numbers"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
