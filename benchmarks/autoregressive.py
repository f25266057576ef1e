"""How fast pixels are drawn one after another: only what each changes, against all again.

    python benchmarks/autoregressive.py --out benchmarks/results/autoregressive.json

CPU seconds for n scenes of which nothing is seen, in turns, in one process with one thread. The
naive sampler takes as long for every pixel: it is measured on a few of them, evenly spread, and
scaled to all; on these both samplers have to draw the same levels. Presets with random weights,
which change the time of neither.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import machine, median

from boed.completion.autoregressive.base import Autoregressive
from boed.completion.registry import LEARNED
from boed.data.observation import Observation
from boed.foundation.files import write_json

ROWS = [
    # completer, channels, binary, n, pixels that the naive sampler is measured on
    ("pc-cnn", 1, True, 1, 64),
    ("pc-cnn", 1, True, 10, 16),
    ("pc-cnn", 1, True, 100, 4),
    ("pc-cnn", 1, False, 10, 16),
    ("pc-cnn", 3, False, 10, 4),
    ("pixelcnn-c", 1, True, 10, 16),
    ("row-lstm", 1, True, 10, 16),
    ("diagonal-bilstm", 1, True, 10, 16),
    ("flattened-row-lstm", 1, True, 10, 16),
    ("pixelcnn-zone", 1, True, 10, 16),
]
SIZE = 32


def untrained(name: str, channels: int, binary: bool) -> Autoregressive:
    """A preset with random weights."""
    kind = LEARNED[name]
    preset = kind.architectures["binary"] if binary else kind.preset
    torch.manual_seed(0)
    model = kind.of(preset(SIZE, channels)[0]).eval()
    assert isinstance(model, Autoregressive)
    return model


def all_but(pixels: int, channels: int) -> Observation:
    """Black scenes of which all is seen but a few pixels, evenly spread."""
    mask = torch.ones(SIZE * SIZE)
    mask[torch.linspace(0, SIZE * SIZE - 1, pixels).long()] = 0
    return Observation(torch.zeros(1, channels, SIZE, SIZE), mask.view(1, 1, SIZE, SIZE))


def cpu_seconds(work: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each piece of work, `repeats` times in turn, after once."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for index in range(repeats + 1):
        for name, each in work.items():
            began = time.process_time()
            each()
            if index:
                times[name].append(time.process_time() - began)
    return times


def measure(
    name: str, *, channels: int, binary: bool, n: int, pixels: int, repeats: int
) -> dict[str, Any]:
    """One row."""
    model, few = untrained(name, channels, binary), all_but(pixels, channels)
    blank = Observation.nothing(1, channels, SIZE)
    work = {
        "incremental": partial(model.drawn, blank, n),
        "naive": partial(model.drawn, few, n, route="naive"),
    }
    times = cpu_seconds(work, repeats)
    seconds = {route: median(each) for route, each in times.items()}
    seconds["naive"] *= SIZE * SIZE / pixels
    return {
        "completer": name,
        "size": SIZE,
        "channels": channels,
        "levels": model.levels,
        "n": n,
        "naive_pixels": pixels,
        "incremental_seconds": seconds["incremental"],
        "naive_seconds": seconds["naive"],
        "ratio": seconds["naive"] / seconds["incremental"],
        "equal": torch.equal(model.drawn(few, n), model.drawn(few, n, route="naive")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    about, rows = machine(), []
    for name, channels, binary, n, pixels in ROWS:
        rows.append(
            measure(
                name, channels=channels, binary=binary, n=n, pixels=pixels, repeats=options.repeats
            )
        )
        print(
            f"{name}, n = {n}: {rows[-1]['ratio']:.0f} x, levels equal: {rows[-1]['equal']}",
            flush=True,
        )
    if options.out is not None:
        write_json(options.out, {"machine": about, "repeats": options.repeats, "rows": rows})


if __name__ == "__main__":
    main()
