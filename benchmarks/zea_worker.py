"""zea's greedy selection behind a pipe, for `benchmarks/peers.py`; needs zea and nothing of ours.

    KERAS_BACKEND=jax python benchmarks/zea_worker.py

Reads one JSON object per line: `particles` (an .npy file, `[N, H, W]`), `looks` (lines to choose
together) and `sigma` (zea's entropy_sigma). Answers with the lines, in order, and the processor
seconds of the choice alone, compiled with jax.jit where the backend is jax.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # zea prints to standard output as well

import keras  # noqa: E402
import numpy as np  # noqa: E402
import zea  # noqa: E402
from zea.agent.selection import GreedyEntropy  # noqa: E402

BACKEND = keras.backend.backend()


def _plain(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return function


def _compiled(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import jax

    jitted = jax.jit(function)
    return lambda particles: jax.block_until_ready(jitted(particles))


@cache
def chooser(looks: int, height: int, width: int, sigma: float) -> Callable[[Any], Any]:
    """zea's `sample` for one-pixel columns."""
    selection = GreedyEntropy(looks, width, width, height, entropy_sigma=sigma)
    return (_compiled if BACKEND == "jax" else _plain)(selection.sample)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """One choice, timed."""
    values = np.load(request["particles"]).astype("float32")
    choose = chooser(request["looks"], *values.shape[1:], request["sigma"])
    particles = keras.ops.convert_to_tensor(values[None])
    began = time.process_time()
    chosen, _ = choose(particles)
    seconds = time.process_time() - began
    lines = keras.ops.convert_to_numpy(chosen)[0].nonzero()[0].tolist()
    return {"lines": lines, "seconds": seconds}


def main() -> None:
    about = {"zea": zea.__version__, "keras": keras.__version__, "backend": BACKEND}
    print(json.dumps(about), file=ANSWERS)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=ANSWERS)


if __name__ == "__main__":
    main()
