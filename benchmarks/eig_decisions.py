"""What the engine, bf16 and the searches do to real decisions, against the plain fp32 EIG.

    python benchmarks/eig_decisions.py --out benchmarks/results/eig_decisions-small.json
    python benchmarks/eig_decisions.py --classifier FILE --grid 5 --out ...

Looks 2 and 3 of exhaustive BOED on chest x-rays of the val split, completions by retrieval. Each
decision is made with the network as torch runs it, image by image in batches (plain), and by the
engine in fp32 and bf16, by all searches. A look is the same if its plain EIG is within 0.001 nats
of the best; good if it has at least 99 % of it, or is the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from measuring import interval, machine
from torch import Tensor

from boed.acquire import acquire
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.completion.classical.retrieval import Retrieval
from boed.data.load import load
from boed.data.observation import Observation
from boed.eig.completions.estimate import design_problem
from boed.eig.completions.estimators import BarberAgakov
from boed.eig.completions.problem import DesignProblem
from boed.foundation.files import write_json
from boed.foundation.precision import Precision
from boed.foundation.randomness import derive
from boed.policies import BOED, FirstLook
from boed.search import CoarseToFine, Exhaustive, Racing, Search
from boed.sensors import PatchSensor
from boed.zoo import Context, classifier_for

SEARCHES: dict[str, Search] = {
    "exhaustive": Exhaustive(),
    "racing": Racing(),
    "coarse to fine, racing": CoarseToFine(then=Racing()),
}
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
TOLERANCE = 1e-3
SCENES_AT_ONCE = 10


class Plain:
    """The network without the engine: no folding but what its file has, nothing shared."""

    def __init__(self, model: DenseNetClassifier) -> None:
        self.model = model

    def log_probs(self, observation: Observation) -> Tensor:
        """As `DenseNetClassifier.log_probs`."""
        logits = self.model.network(self.model.read(observation)).float()
        return self.model.beliefs(logits, observation.fraction_seen)


class Known(DesignProblem):
    """A situation of which every belief has been computed."""

    def posterior_at(self, completion: Tensor, scene: Tensor, candidate: Tensor) -> Tensor:
        return self.posterior[completion, scene, candidate]


def choices(problem: DesignProblem) -> dict[str, Tensor]:
    """The EIG as this precision sees it, and each search's choice and evaluations."""
    fields = {name: getattr(problem, name) for name in DesignProblem.__dataclass_fields__}
    known, found = Known(**fields), {}
    for name, search in SEARCHES.items():
        made = search(known, BarberAgakov())
        if name == "exhaustive":
            found["eig"] = made.eig
        ready = made.eig if made.finished is None else made.eig.where(made.finished, -torch.inf)
        found[name] = ready.argmax(1)
        spent = problem.shape[0] * problem.shape[2] * problem.shape[1]
        found[f"{name} used"] = torch.tensor(made.evaluations or spent)
    return found


@torch.no_grad()
def decide(
    classifier: DenseNetClassifier, size: int, grid: int, scenes: int, split: str
) -> list[dict[str, dict[str, Tensor]]]:
    """Every decision in both precisions."""
    data, train = (load("kermany_pneumonia_128", size, part) for part in (split, "train"))
    sensor, retrieval = PatchSensor(size, 0.25, grid), Retrieval(train)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:scenes]
    policy = BOED(retrieval, classifier, first_look=FirstLook(retrieval, 50))
    rows = []
    for part in order.split(SCENES_AT_ONCE):
        seeds = [derive(0, "scene", index) for index in part.tolist()]
        classifier.precision = "fp32"
        run = acquire(data.scenes(part), sensor, policy, steps=3, classifier=classifier, seed=seeds)
        for look in (1, 2):
            drawn = run.decisions[look].completions
            assert drawn is not None
            seen = run.observations[look]
            row = {
                "plain": choices(design_problem(seen, drawn, sensor, classifier=Plain(classifier)))
            }
            for precision in PRECISIONS:
                classifier.precision = precision
                row[precision] = choices(design_problem(seen, drawn, sensor, classifier=classifier))
            rows.append(row)
        print(f"{min(len(rows) // 2 * SCENES_AT_ONCE, scenes)} of {scenes} scenes", flush=True)
    return rows


def summary(rows: list[dict[str, dict[str, Tensor]]], scenes: int) -> dict[str, Any]:
    """How far the maps differ, and how good each choice is by the exact map."""
    exact = torch.cat([row["plain"]["eig"] for row in rows])
    best = exact.amax(1)
    found: dict[str, Any] = {
        "decisions": len(exact),
        "scenes": scenes,
        "mean_best_eig_nats": float(best.mean()),
        "eig_error_nats": {},
        "searches": {},
    }
    for precision in PRECISIONS:
        error = (exact - torch.cat([row[precision]["eig"] for row in rows])).abs()
        found["eig_error_nats"][precision] = {
            "largest": float(error.max()),
            "mean": float(error.mean()),
            "99_percent_of_maps_below": float(error.amax(1).quantile(0.99)),
        }
        for name in SEARCHES:
            place = torch.cat([row[precision][name] for row in rows])
            worth = exact.gather(1, place[:, None])[:, 0]
            same = best - worth <= TOLERANCE
            good = same | (worth >= 0.99 * best)
            used = sum(int(row[precision][f"{name} used"]) for row in rows)
            every = sum(int(row[precision]["exhaustive used"]) for row in rows)
            found["searches"][f"{name}, {precision}"] = {
                "same": float(same.float().mean()),
                "same_interval": interval(float(same.float().mean()), scenes),
                "good": float(good.float().mean()),
                "good_interval": interval(float(good.float().mean()), scenes),
                "mean_shortfall_nats": float((best - worth).mean()),
                "largest_shortfall_nats": float((best - worth).max()),
                "evaluations": used / every,
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classifier", default=None, help="checkpoint; the shipped one if absent")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--grid", type=int, default=17)
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--split", default="val")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    data = load("kermany_pneumonia_128", given.size, given.split)
    classifier = classifier_for(Context(data, PatchSensor(given.size)), given.classifier)
    assert isinstance(classifier, DenseNetClassifier)
    rows = decide(classifier, given.size, given.grid, given.scenes, given.split)
    found = summary(rows, min(given.scenes, len(data)))
    print(f"{found['decisions']} decisions; EIG errors in nats: {found['eig_error_nats']}")
    for name, each in found["searches"].items():
        share = f"of {each['evaluations']:.3f}"
        print(f"{name:32} same {each['same']:.3f} good {each['good']:.3f} {share}")
    settings = {"network": classifier.config.kind, "size": given.size, "grid": given.grid}
    settings |= {"scenes": given.scenes, "split": given.split}
    if given.out is not None:
        write_json(given.out, {"machine": machine(), "settings": settings, **found})


if __name__ == "__main__":
    main()
