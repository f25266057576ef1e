"""Files that are whole or not there: atomic writes, checksums, weights with provenance."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    Raises:
        OSError: the folder cannot be written or the disk is full; `path` is then as it was.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise OSError(f"could not write {target}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


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


def load_weights(path: Path | str, *kinds: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_weights` wrote. Nothing in the file is executed.

    Args:
        path: of the file.
        kinds: one of which the header must say that it holds, if any is given.

    Raises:
        ValueError: the file is missing, damaged, not one of ours, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata["boed"])
    except FileNotFoundError as error:
        raise ValueError(f"checkpoint {path} does not exist") from error
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
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
        model = build(header, tensors)
        model.load_state_dict(tensors)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {path} does not fit its configuration: {error}") from error
    model.provenance = header  # type: ignore[assignment]
    return model.eval()
