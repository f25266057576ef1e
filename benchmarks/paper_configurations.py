"""The paper's configurations: parameters, and one training step of AIPO on a tiny batch.

    python benchmarks/paper_configurations.py --out benchmarks/results/paper_configurations.json

Random images; one update by AdamW in fp32 on the CPU, joint training (all parameters). Memory is
the process's peak. Each configuration runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from measuring import machine

from boed.completion import AIPO
from boed.completion.vae import presets
from boed.completion.vae.vdvae import StochasticBlock
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.files import write_json


def parameters(model: AIPO) -> dict[str, float]:
    """Millions: of the VAE, and of what AIPO adds to it."""
    heads = [block for block in model.vae.blocks if isinstance(block, StochasticBlock)]
    partial = sum(
        p.numel()
        for block in heads
        if block.partial is not None
        for p in block.partial.parameters()
    )
    added = partial + sum(p.numel() for p in model.partial_encoder.parameters())
    everything = sum(p.numel() for p in model.parameters())
    return {"vae_millions": (everything - added) / 1e6, "partial_millions": added / 1e6}


def step(name: str, batch: int) -> dict[str, Any]:
    """One update: its loss and the peak memory in GiB."""
    config, settings = presets.PAPER[name]
    torch.manual_seed(0)
    model = AIPO.of(config)
    optimiser = torch.optim.AdamW(model.parameters(), settings.lr, betas=settings.betas)
    scenes = torch.rand(batch, config.channels, config.size, config.size)
    observation = Observation.of(scenes, squares(batch, config.size))
    loss = model.loss(scenes, observation)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return {
        "configuration": name,
        "groups": len(model.vae.blocks),
        **parameters(model),
        "batch": batch,
        "loss": float(loss.detach()),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=None, help="print one configuration as JSON")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    if options.only is not None:
        print(json.dumps(step(options.only, 2 if options.only == "cifar10" else 1)))
        return
    rows = []
    for name in presets.PAPER:
        run = [sys.executable, __file__, "--only", name]
        rows.append(json.loads(subprocess.run(run, check=True, capture_output=True).stdout))
        print(rows[-1], flush=True)
    if options.out is not None:
        write_json(options.out, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
