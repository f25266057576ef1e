"""How time grows with scenes, candidates, completions and looks, and memory with scenes.

    python benchmarks/scaling.py --out benchmarks/results/scaling.json

Time: exhaustive BOED on digits with the shipped classifier and retrieved completions; each number
is doubled three times while the others stay, all settings take turns, and the exponent is the
slope of log time over log number with its standard error (least squares on the medians). The
first look is the same for all scenes and computed before; `looks` counts those after it. Memory:
one decision at 256 px with DenseNet-121 and 9 candidates, above that of the models.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from eig_speed import untrained
from measuring import interleaved, machine, median, peak_memory
from scipy import stats
from torch import Tensor

from boed.acquire import acquire
from boed.completion.classical.retrieval import Retrieval
from boed.data.load import load
from boed.data.observation import Observation
from boed.foundation.files import write_json
from boed.policies import BOED, FirstLook
from boed.sensors import PatchSensor
from boed.zoo import Context, classifier_for

USUAL = {"scenes": 4, "candidates": 7, "completions": 8, "looks": 1}
"""What stays while another number grows; candidates as a grid."""

GROWN: dict[str, list[int]] = {
    "scenes": [2, 4, 8, 16],
    "candidates": [5, 7, 10, 14],  # squared, nearly doubled each time
    "completions": [4, 8, 16, 32],
    "looks": [1, 2, 4, 8],
}


class Noise:
    """A completer that costs nothing."""

    def sample(self, observation: Observation, n: int, seed: object = 0) -> Tensor:
        return observation.composite(torch.rand(n, *observation.values.shape))


def times(repeats: int) -> list[dict[str, Any]]:
    """Median seconds for each setting, and the exponent of each number."""
    data, train = load("digits", 32, "val"), load("digits", 32, "train")
    classifier = classifier_for(Context(data, PatchSensor(32)))
    retrieval = Retrieval(train)
    work: dict[str, Callable[[], object]] = {}
    for name, values in GROWN.items():
        for value in values:
            now = USUAL | {name: value}
            sensor = PatchSensor(32, 0.25, now["candidates"])
            policy = BOED(retrieval, classifier, n=now["completions"], first_look=FirstLook(n=4))
            scenes = data.scenes(slice(0, now["scenes"]))
            looks = now["looks"] + 1
            how: dict[str, Any] = {"steps": looks, "classifier": classifier, "keep": False}
            run = partial(acquire, scenes, sensor, policy, **how)
            work[f"{name} {value}"] = run
    measured = interleaved(work, repeats, "scaling")
    found = []
    for name, values in GROWN.items():
        number = np.array(values, float) ** (2 if name == "candidates" else 1)
        seconds = [median(measured[f"{name} {value}"]) for value in values]
        fit = stats.linregress(np.log(number), np.log(seconds))
        found.append(
            {
                "what": name,
                "numbers": number.astype(int).tolist(),
                "seconds": seconds,
                "exponent": float(fit.slope),
                "standard_error": float(fit.stderr),
            }
        )
    return found


@torch.no_grad()
def memory(scenes: list[int]) -> list[dict[str, Any]]:
    """Peak MiB of one decision about so many scenes, and what scenes and completions hold."""
    classifier, sensor = untrained(256), PatchSensor(256, 0.25, 3)
    found = []
    for number in [1, *scenes]:  # once before, so that nothing is made ready for the first time
        truth = torch.rand(number, 1, 256, 256)
        middle = torch.tensor([[96, 96]]).expand(number, -1)
        seen = sensor.observe(Observation.nothing(number, 1, 256), truth, middle)
        policy = BOED(Noise(), classifier, n=10)
        with peak_memory() as peak:
            decision = policy.choose(seen, sensor)
        drawn = decision.completions
        assert drawn is not None
        kept = drawn.scenes.numel() * 4 / 2**20
        found.append({"scenes": number, "peak_mib": peak["mib"], "of_it_returned_mib": kept})
        print(found[-1], flush=True)
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    described, grown, peaks = machine(), times(given.repeats), memory([1, 4, 16])
    for row in grown:
        seconds = ", ".join(f"{each:.2f}" for each in row["seconds"])
        power = f"{row['exponent']:.2f} ± {row['standard_error']:.2f}"
        print(f"{row['what']:12} {row['numbers']} -> {seconds} s; exponent {power}")
    if given.out is not None:
        write_json(given.out, {"machine": described, "time": grown, "memory": peaks})


if __name__ == "__main__":
    main()
