"""torchxrayvision's own DenseNet-121 weights: fetched once, checked, and kept as safetensors.

Cohen et al. 2022 (arXiv:2111.00595) publish whole networks as pickles, which are read by their
SHA-256 only and as `pickled_network` does, in a process of its own.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boed.classifiers.networks.densenet import DenseNetConfig, build
from boed.classifiers.torchxrayvision import pickled_network
from boed.data.download import cache, download
from boed.foundation.files import load_weights, save_weights, sha256
from boed.foundation.registry import unknown
from boed.foundation.torchvision_compat import torchxrayvision

PREFIX = "torchxrayvision:"
"""Before the names of these weights, where a classifier is asked for."""

KIND = "torchxrayvision network"
"""What headers of the converted weights call them."""

SIZE = 224
"""Width in pixels that the networks were trained at."""

VARIABLE = "BOED_TORCHXRAYVISION_SHA256"
"""The environment variable with the user's own checksums, `NAME=HEX`, separated by commas."""

SHA256: dict[str, str | None] = {
    "densenet121-res224-all": "56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899",
    "densenet121-res224-nih": None,
    "densenet121-res224-pc": "a9148ef62ae4e7a31a9bed8cef22811f39681cd61e4390398936efc6280af521",
    "densenet121-res224-chex": None,
    "densenet121-res224-rsna": "906a59f48cf09638b745d66848a6c6f9d741368c66244717a81207329d140268",
    "densenet121-res224-mimic_nb": None,
    "densenet121-res224-mimic_ch": (
        "23b13a04459684ffa41247d068207a7657b4e1b4dec2b02431f5026bd75b1189"
    ),
}
"""Of the published files, by name; those that torchxrayvision's pages on Hugging Face state for the
same networks (`model.pt`). None where none is known: the user has to give it."""

_MOST_BYTES = 1 << 25
_PATIENCE_S = 300


def is_torchxrayvision(name: str) -> bool:
    """Whether a classifier's name is that of torchxrayvision's weights."""
    return name.startswith(PREFIX)


def check_weights(argument: str, name: str) -> None:
    """Refuse a name that is none, or whose weights can not be had.

    Args:
        argument: what it was given for.
        name: such as `torchxrayvision:densenet121-res224-all`.

    Raises:
        ValueError: an unknown name (the nearest is suggested), or weights of unknown checksum that
            were not converted before.
    """
    short = name.removeprefix(PREFIX)
    if short not in SHA256:
        raise unknown(argument, name, [f"{PREFIX}{each}" for each in SHA256])
    if not (_given(short) or SHA256[short] or _converted(short).is_file()):
        raise ValueError(
            f"{argument} is {name!r}, a pickle that is read by its SHA-256 only, which is not "
            f"known here: set {VARIABLE}={short}=HEX, with HEX what sha256sum says of a copy of "
            "torchxrayvision's file that you trust; once is enough"
        )


def pathologies(name: str) -> list[str]:
    """What the network's outputs stand for; nothing for those that were not trained."""
    labels: list[str] = torchxrayvision().models.model_urls[name.removeprefix(PREFIX)]["labels"]
    return labels


def fetch_weights(argument: str, name: str) -> Path:
    """The weights as safetensors, in the cache; downloaded and converted unless they are there.

    A file that torchxrayvision itself has downloaded, or that lies in the cache's folder
    `torchxrayvision` under its published name, is not downloaded again.

    Args:
        argument: what the name was given for.
        name: such as `torchxrayvision:densenet121-res224-all`.

    Raises:
        ValueError: see `check_weights`; a file with another checksum, or one that is no DenseNet.
        OSError: the download failed; the same call goes on.
    """
    check_weights(argument, name)
    short = name.removeprefix(PREFIX)
    target, given = _converted(short), _given(short)
    if target.is_file() and given in (None, load_weights(target, KIND)[1]["sha256"]):
        return target
    expected = given or SHA256[short]
    assert expected is not None  # else the check above
    library = torchxrayvision()
    published = library.models.model_urls[short]
    url = published["weights_url"]
    filename = url.rsplit("/", 1)[-1]
    ours, theirs = target.with_name(filename), Path(library.utils.get_cache_dir()) / filename
    source = next((each for each in (ours, theirs) if each.is_file()), None)
    if source is None:
        source = download(url, ours, f"sha256:{expected}", most_bytes=_MOST_BYTES)
    if (digest := sha256(source)) != expected:
        raise ValueError(
            f"{argument}: {source} has SHA-256 {digest}, expected {expected}; it was not read. "
            f"Remove it to have {url} fetched"
        )
    header = {
        "kind": KIND,
        "config": {"kind": "densenet121", "size": SIZE, "channels": 1},
        "weights": name,
        "url": url,
        "sha256": expected,
        "pathologies": pathologies(name),
        "thresholds": [None if math.isnan(each) else each for each in published["op_threshs"]],
    }
    save_weights(target, _unpickled(source), header)
    return target


def _converted(short: str) -> Path:
    return cache() / "torchxrayvision" / f"{short}.safetensors"


def _given(short: str) -> str | None:
    """The user's own checksum.

    Raises:
        ValueError: the variable is not as it should be.
    """
    given: dict[str, str] = {}
    for each in filter(None, os.environ.get(VARIABLE, "").split(",")):
        name, _, digits = (part.strip() for part in each.partition("="))
        if name not in SHA256 or len(digits) != 64 or set(digits.lower()) - set("0123456789abcdef"):
            raise ValueError(
                f"{VARIABLE} has {each!r}, expected NAME=HEX with 64 hexadecimal digits and NAME "
                f"one of {', '.join(SHA256)}"
            )
        given[name] = digits.lower()
    return given.get(short)


def _unpickled(source: Path) -> dict[str, Tensor]:
    """Tensors of the published network, read in a process of its own.

    Raises:
        ValueError: the file holds anything but a DenseNet-121 of 18 pathologies for grey images.
    """
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "network.safetensors"
        command = [sys.executable, "-P", pickled_network.__file__, str(source), str(target)]
        try:
            reading = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"{source}: reading it took over {_PATIENCE_S} s") from error
        if reading.returncode:
            said = reading.stderr.strip().rpartition("\n")[2]
            raise ValueError(said or f"{source}: reading it ended with {reading.returncode}")
        tensors = load_file(target)
    tensors.pop("op_threshs", None)  # the library's table has them
    with torch.device("meta"):
        network = build(DenseNetConfig(size=SIZE, channels=1, outputs=18, kind="densenet121"))
    expected: dict[str, Any] = {name: each.shape for name, each in network.state_dict().items()}
    expected["features.conv0.weight"] = torch.Size((64, 1, 7, 7))
    given = {name: each.shape for name, each in tensors.items()}
    for name in sorted(expected.keys() | given.keys()):
        if expected.get(name) != given.get(name):
            shapes = [tuple(each[name]) if name in each else None for each in (given, expected)]
            raise ValueError(
                f"{source} is another network: {name} is {shapes[0]}, expected {shapes[1]}"
            )
    return tensors
