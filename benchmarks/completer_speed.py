"""How fast completers draw, what memory they take, and how both grow with resolution.

    python benchmarks/completer_speed.py --out benchmarks/results/completer_speed.json

Scenes per second for N = 10 completions of each, in turns, in one process with one thread, and
the ratio to AIPO in the same run; memory above that of the models, in
processes of their own. Untrained presets, one channel: weights change neither. Completers that draw
one pixel after another are in autoregressive.py, the search in a latent space in latent_search.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import interleaved, machine, median, peak_memory

from boed.completion import VDVAE, Completer, Retrieval
from boed.completion.registry import LEARNED
from boed.completion.vae import presets
from boed.completion.vae.latent import LatentPosterior
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.files import write_json

ELSEWHERE = (
    *("pc-cnn", "pixelcnn-c", "pixelcnn-zone", "row-lstm", "diagonal-bilstm"),
    *("flattened-row-lstm", "gan-latent"),
)
"""Completers that other benchmarks time."""

SIZES = (32, 64, 128)
N = 10


def library(size: int, images: int = 4_000) -> Dataset:
    """Random images for retrieval to search."""
    pixels = torch.randint(0, 256, (images, 1, size, size), dtype=torch.uint8)
    return Dataset(
        name="random",
        split="train",
        images=pixels,
        labels=torch.zeros(images, dtype=torch.long),
        label_names=("a", "b"),
    )


def completers(size: int) -> dict[str, Completer]:
    """One of each kind for a size."""
    found: dict[str, Completer] = {}
    for name in (each for each in LEARNED if each not in ELSEWHERE):
        kind = LEARNED[name]
        found[name] = kind.of(kind.preset(size, 1)[0]).eval()
    found["retrieval"] = Retrieval(library(size))
    found["retrieval, indexed"] = Retrieval(library(size), candidates=1_000)
    if size == min(SIZES):  # a perceptron: for small images only
        vae = VDVAE(presets.latent(size, 1)[0])
        found["importance sampling, 1,024 particles"] = LatentPosterior(vae, particles=1_024)
    return found


def seen(size: int, scenes: int) -> Observation:
    """Two squares of each scene."""
    masks = squares(scenes, size, counts=torch.full((scenes,), 2))
    return Observation.of(torch.rand(scenes, 1, size, size), masks)


def measure(size: int, scenes: int, repeats: int) -> list[dict[str, Any]]:
    """One row for each completer."""
    observation = seen(size, scenes)
    made = completers(size)
    work = {name: partial(each.sample, observation, N) for name, each in made.items()}
    times = {k: median(v) for k, v in interleaved(work, repeats, f"{size} px").items()}
    return [
        {
            "completer": name,
            "size": size,
            "scenes_per_second": scenes / times[name],
            "ratio_to_aipo": times["aipo"] / times[name],
            "memory_mib": apart(name, size, scenes),
        }
        for name in work
    ]


def apart(name: str, size: int, scenes: int) -> float:
    """Peak memory of one draw in a process of its own: nothing is left there from others."""
    run = [
        sys.executable,
        __file__,
        "--memory",
        name,
        "--sizes",
        str(size),
        "--scenes",
        str(scenes),
    ]
    return float(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--memory", default=None, help="print the MiB that one completer takes")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if options.memory is not None:
        model = completers(options.sizes[0])[options.memory]
        model.sample(seen(options.sizes[0], 1), 1)  # what is loaded and worked out once
        observation = seen(options.sizes[0], options.scenes)
        with peak_memory() as memory:
            model.sample(observation, N)
        print(memory["mib"])
        return
    about = machine()
    rows = []
    for size in options.sizes:
        rows += measure(size, options.scenes, options.repeats)
    if options.out is not None:
        about_all = {"machine": about, "scenes": options.scenes, "completions": N}
        write_json(options.out, {**about_all, "rows": rows})


if __name__ == "__main__":
    main()
