"""What sharing random numbers does to the difference of two neighbouring designs' EIGs.

    python benchmarks/shared_draws.py            # minutes; writes docs/estimators/shared_draws.*
    python benchmarks/shared_draws.py --quick    # fewer repeats; writes nothing

Each pair of designs is estimated by `model_eig` with its default budget under many seeds, once with
the same draws for both designs and once with draws of each one's own. The variance is that of the
difference over the seeds. Exits with 1 if sharing makes a variance larger.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyro
import torch
from reference_rows import written
from torch import Tensor

from boed.eig.model.model_eig import model_eig
from boed.foundation.files import atomic
from boed.foundation.randomness import derive
from boed.problems import PROBLEMS, Problem, TwoAlternativeChoice

HOME = Path(__file__).parent.parent / "docs" / "estimators"

PAIRS: dict[str, tuple[Sequence[object], Sequence[object]]] = {
    "linear-Gaussian": ([[1, 0], [0, 1], [0, 1]], [[1, 0], [0, 1], [0.2, 1]]),
    "linear-Gaussian 1-D": ([1.0], [1.1]),
    "finite space": ([0.5], [0.55]),
    "two-alternative choice": ([0.0], [0.3]),
    "class information": ([1.0], [1.1]),
    "death process": ([1.0], [1.1]),
    "location finding A": ([0.0, 0.0], [0.2, 0.0]),
    "location finding, unit square": ([0.5, 0.5], [0.45, 0.5]),
    "constant elasticity": ([50, 50, 50, 30, 70, 40], [50, 50, 50, 30, 70, 45]),
    "hyperbolic discounting": ([50, 70], [55, 70]),
}
"""A design of each textbook problem and one beside it."""


@dataclass(frozen=True)
class Row:
    """One pair; nats, and nats squared. Errors are those that the estimates state, on average."""

    problem: str
    designs: str
    truth: float
    shared_variance: float
    own_variance: float
    shared_error: float
    own_error: float
    shared_right: int
    own_right: int
    repeats: int

    @property
    def ratio(self) -> float:
        """How many times as many samples draws of their own would need."""
        return self.own_variance / self.shared_variance if self.shared_variance else float("inf")

    def __str__(self) -> str:
        times = f"{self.ratio:.3g}" if self.shared_variance else "no noise left"
        return (
            f"| {self.problem} | {self.designs} | {self.truth:+.4f} | {self.shared_variance:.2g} "
            f"| {self.own_variance:.2g} | {times} | {self.shared_variance**0.5:.2g} "
            f"({self.shared_error:.2g}) | {self.own_variance**0.5:.2g} ({self.own_error:.2g}) "
            f"| {self.shared_right} | {self.own_right} |"
        )


HEADER = """\
| problem | designs | truth | variance, shared | own | ratio | s.d. (stated), shared | own \
| right of {repeats}, shared | own |
|---|---|---|---|---|---|---|---|---|---|"""


def pairs() -> list[tuple[str, Problem, Tensor]]:
    """Every textbook problem with its two designs, and the near pair of a wide prior."""
    rows = [
        (name, PROBLEMS[name], torch.tensor(pair, dtype=torch.float32))
        for name, pair in PAIRS.items()
    ]
    wide = TwoAlternativeChoice(prior_sd=3.0)
    rows.append(("two-alternative choice, prior sd 3", wide, torch.tensor([[0.0], [1.0]])))
    return rows


def differences(
    problem: Problem, designs: Tensor, repeats: int, seed: int, *, shared: bool
) -> Tensor:
    """The second design's EIG less the first one's and its stated error, `[repeats, 2]`."""
    runs = (
        model_eig(
            problem.model,
            designs,
            observation=problem.observation,
            target=problem.target,
            design_dims=problem.design_dims,
            shared_draws=shared,
            seed=derive(seed, "shared draws", repeat),
        ).difference(1, 0)
        for repeat in range(repeats)
    )
    return torch.tensor([(run.value, run.standard_error) for run in runs], dtype=torch.float64)


def measure(name: str, problem: Problem, designs: Tensor, repeats: int, seed: int) -> Row:
    """One line of the table."""
    if name == "constant elasticity":
        designs = designs.double()  # float32 rounds its answers: see the problem
    first, second = problem.exact_eig(designs).tolist()
    truth = second - first
    shared, own = (
        differences(problem, designs, repeats, seed, shared=each) for each in (True, False)
    )
    return Row(
        problem=name,
        designs=" / ".join(written(design) for design in designs),
        truth=truth,
        shared_variance=float(shared[:, 0].var()),
        own_variance=float(own[:, 0].var()),
        shared_error=float(shared[:, 1].mean()),
        own_error=float(own[:, 1].mean()),
        shared_right=int((shared[:, 0] * truth > 0).sum()),
        own_right=int((own[:, 0] * truth > 0).sum()),
        repeats=repeats,
    )


def save(rows: list[Row], seconds: float) -> None:
    """The JSON and the page."""
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
    }
    content = {
        "command": "python benchmarks/shared_draws.py",
        "versions": versions,
        "processor_seconds": round(seconds, 1),
        "rows": [asdict(row) for row in rows],
    }
    page = [
        "# Comparing designs with shared random numbers",
        "",
        f"`python benchmarks/shared_draws.py`: {seconds:.0f} s of processor time. Two neighbouring "
        "designs of each textbook problem, `pce` at the default budget (1,000 outer and 1,000 "
        f"inner samples), {rows[0].repeats} seeds each: the variance of the difference of their "
        "EIGs, in nats squared, with the same draws for both designs (the default) and with each "
        "design's own (`shared_draws=False`). The ratio is how many times as many samples the "
        "latter need. In brackets the standard error that `EIGEstimate.difference` states. Where "
        "an outcome has few values, both sum over them.",
        "",
        HEADER.format(repeats=rows[0].repeats),
        *map(str, rows),
        "",
    ]
    HOME.mkdir(parents=True, exist_ok=True)
    texts = {"shared_draws.json": json.dumps(content, indent=1) + "\n"}
    texts["shared_draws.md"] = "\n".join(page)
    for name, text in texts.items():
        with atomic(HOME / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, nothing is written")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    repeats = 8 if given.quick else given.repeats
    rows = []
    print(HEADER.format(repeats=repeats))
    for name, problem, designs in pairs():
        rows.append(measure(name, problem, designs, repeats, given.seed))
        print(rows[-1], flush=True)
    if not given.quick:
        save(rows, time.process_time() - began)
    return int(any(row.shared_variance > row.own_variance for row in rows))


if __name__ == "__main__":
    sys.exit(main())
