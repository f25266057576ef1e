"""The shift suite: what classifiers believe of scenes as they are, and as others would show them.

Each classifier sees the same scenes after the same random looks, clean and under each of
`boed.data.shifts` at each strength, and perhaps those of another data set that the same question
can be asked of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.classifiers.evaluation.occlusion import SCENES, occluded_beliefs, regions
from boed.classifiers.evaluation.out_of_distribution import knows_looks, relative_distance
from boed.classifiers.evaluation.scoring import beliefs_after
from boed.classifiers.trained import TrainedClassifier
from boed.data.dataset import Dataset
from boed.data.looking import Squares, off_centre, seen
from boed.data.observation import Observation
from boed.data.question import Asked
from boed.data.shifts import MIDDLE, Condition, conditions
from boed.foundation.checks import at_least
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import PARTS, store_part, stored_part
from boed.foundation.netcdf import Schema
from boed.foundation.randomness import derive

if TYPE_CHECKING:
    import xarray as xr

KIND = "evaluation of classifiers"
"""What the record of a run's folder calls it."""

WHOLE = "whole"
"""What stands for the whole scene among numbers of looks."""

Advance = Callable[[str, int], None]
"""Called with a classifier and the number of conditions that it has just judged."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What classifiers are measured on.

    Attributes:
        scenes: how many, a fixed random choice.
        looks: numbers of random looks, squares of a quarter of the width; whole scenes besides.
        strengths: of each shift, 1 to 3.
        seed: of looks and shifts.

    Raises:
        ValueError: a number that is too small or too large, none, or the same twice.
    """

    scenes: int = 256
    looks: tuple[int, ...] = (1, 3)
    strengths: tuple[int, ...] = (MIDDLE,)
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, scenes=self.scenes)
        at_least(0, seed=self.seed)
        if not self.looks or len(set(self.looks)) < len(self.looks):
            raise ValueError(f"looks is {self.looks}, expected different numbers, at least one")
        at_least(0, looks=min(self.looks))
        conditions(self.strengths)

    @property
    def conditions(self) -> list[Condition]:
        """Clean, then each shift at each strength."""
        return conditions(self.strengths)

    @property
    def counts(self) -> dict[str, int | None]:
        """Numbers of looks as `beliefs_after` takes them, by what results call them."""
        return {**{str(count): count for count in self.looks}, WHOLE: None}

    def rows(self, dataset: Dataset) -> NDArray[np.int64]:
        """Which scenes are taken; fewer are always the first of more.

        Raises:
            ValueError: there are not so many.
        """
        if self.scenes > len(dataset):
            raise ValueError(
                f"scenes is {self.scenes}; {dataset.name} ({dataset.split}) has {len(dataset)}"
            )
        rng = np.random.default_rng(derive("scenes"))
        return rng.permutation(len(dataset))[: self.scenes]


def evaluate(
    classifiers: Mapping[str, Classifier],
    dataset: Dataset,
    suite: Suite,
    *,
    also: Asked | None = None,
    folder: Path | None = None,
    advance: Advance | None = None,
) -> xr.Dataset:
    """What each classifier believes under each condition after each number of looks.

    Args:
        classifiers: by name, all of the data set's question.
        dataset: the scenes that are measured on: those that `suite.rows` chose.
        suite: conditions and looks.
        also: scenes of another data set, as they are.
        folder: for finished parts, a classifier under a condition each, so that an interrupted
            evaluation goes on.
        advance: called as the work goes on.

    Returns:
        What `RESULTS` says: log-probabilities by classifier, condition, look (`whole` is the last)
        and scene, and labels; the same of `also` with that word before the names; and of the first
        clean scenes those without each of `occlusion.regions`. `off_centre` says where looks lay,
        `distance` how far what was seen is from the training data, where that is known
        (`out_of_distribution.relative_distance`).
    """
    import xarray as xr

    def judged(scenes: Tensor, part: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Beliefs `[classifier, look, B, *L, K]`, and distances `[classifier, look, B]`."""
        found = []
        for name, classifier in classifiers.items():
            path = _part(folder, name, part)
            found.append(_judged(classifier, scenes, suite, path=path, name=name, advance=advance))
        beliefs, distances = zip(*found, strict=True)
        return np.stack(beliefs), np.stack(distances)

    scenes, under = dataset.scenes(), suite.conditions
    found = [judged(each.scenes(scenes, suite.seed), each.name) for each in under]
    by_condition, distance = (np.stack(each, axis=1) for each in zip(*found, strict=True))
    variables = _variables("", ("classifier", "condition", "look"), by_condition, dataset)
    if np.isfinite(distance).any():
        variables["distance"] = (("classifier", "condition", "look", "scene"), distance)
    variables["off_centre"] = (("look", "scene"), _places(scenes, suite))
    few = scenes[:SCENES]
    hidden = [
        _occluded(each, few, path=_part(folder, name, "occluded"), name=name, advance=advance)
        for name, each in classifiers.items()
    ]
    dims = ("classifier", "region", "occluded_scene", *variables["label"][0][1:], "answer")
    variables["occluded_log_belief"] = (dims, np.stack(hidden))
    attributes: dict[str, Any] = {
        "data": dataset.name,
        "split": dataset.split,
        "size": dataset.size,
    }
    attributes |= {"sha256": dataset.sha256, "seed": suite.seed}
    if also is not None:
        about, _ = judged(also.data.scenes(), "also")
        if also.finding is not None:
            about = about[..., also.finding, :]
        variables |= _variables("also_", ("classifier", "look"), about, also.data)
        attributes |= {"also": also.data.name, "also_sha256": also.data.sha256}
        attributes |= {"also_answers": list(also.data.label_names)}
    coordinates = {
        "classifier": list(classifiers),
        "condition": [each.name for each in under],
        "look": list(suite.counts),
        "shift": ("condition", [each.shift for each in under]),
        "strength": ("condition", [each.strength for each in under]),
        "region": list(regions(*dataset.shape)),
    }
    return xr.Dataset(variables, coordinates, attributes)


def _judged(
    classifier: Classifier,
    scenes: Float[Tensor, "B C H W"],
    suite: Suite,
    *,
    path: Path | None,
    name: str,
    advance: Advance | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log-probabilities `[look, B, *L, K]` and distances `[look, B]`, stored once there."""
    counts = suite.counts
    identity = None if path is None else fingerprint(classifier, scenes, counts, suite.seed, FAR)
    stored = stored_part(path, identity)
    if stored is None:
        found = beliefs_after(
            classifier, scenes, tuple(counts.values()), looking=Squares(), seed=suite.seed
        )
        stored = {look: torch.from_numpy(found[count]).float() for look, count in counts.items()}
        stored[FAR] = _distances(classifier, scenes, suite)
        store_part(path, stored, identity)
    if advance is not None:
        advance(name, 1)
    return np.stack([stored[look].numpy() for look in counts]), stored[FAR].numpy()


FAR = "distance"
"""What a stored part calls the distances from the training data."""


def _distances(
    classifier: Classifier, scenes: Float[Tensor, "B C H W"], suite: Suite
) -> Float[Tensor, "look B"]:
    """See `relative_distance`; NaN of a classifier that does not know them."""
    if not (isinstance(classifier, TrainedClassifier) and knows_looks(classifier)):
        return torch.full((len(suite.counts), len(scenes)), torch.nan)
    looked = (_seen(scenes, count, suite) for count in suite.counts.values())
    return torch.stack([relative_distance(classifier, each).float() for each in looked])


def _seen(scenes: Float[Tensor, "B C H W"], count: int | None, suite: Suite) -> Observation:
    """What classifiers are shown after so many looks."""
    return seen(scenes, count, looking=Squares(), seed=suite.seed)


def _places(scenes: Float[Tensor, "B C H W"], suite: Suite) -> NDArray[np.float32]:
    """How far from the centre looks lay, `[look, B]`; see `off_centre`."""
    masks = (_seen(scenes, count, suite).mask for count in suite.counts.values())
    return torch.stack([off_centre(mask) for mask in masks]).numpy()


def _occluded(
    classifier: Classifier,
    scenes: Float[Tensor, "B C H W"],
    *,
    path: Path | None,
    name: str,
    advance: Advance | None,
) -> NDArray[np.float32]:
    """Log-probabilities `[region, B, *L, K]`, stored once they are there."""
    identity = None if path is None else fingerprint(classifier, scenes, "occluded")
    stored = stored_part(path, identity)
    if stored is None:
        stored = {"occluded": torch.from_numpy(occluded_beliefs(classifier, scenes))}
        store_part(path, stored, identity)
    if advance is not None:
        advance(name, 1)
    return stored["occluded"].numpy()


def _part(folder: Path | None, name: str, part: str) -> Path | None:
    if folder is None:
        return None
    return folder / PARTS / f"{quote(name, safe='')}-{part.replace(' ', '-')}.safetensors"


def _variables(
    prefix: str, leading: tuple[str, ...], beliefs: NDArray[np.float32], data: Dataset
) -> dict[str, tuple[tuple[str, ...], NDArray]]:
    scene, answer = f"{prefix}scene", f"{prefix}answer"
    finding = (f"{prefix}finding",) if data.multi_label else ()
    variables: dict[str, tuple[tuple[str, ...], NDArray]] = {
        f"{prefix}log_belief": ((*leading, scene, *finding, answer), beliefs),
        f"{prefix}label": ((scene, *finding), data.labels.numpy()),
    }
    if data.patients is not None:
        variables[f"{prefix}patient"] = ((scene,), np.asarray(data.patients).astype(str))
    return variables


def _rules(results: xr.Dataset, name: str) -> None:
    for prefix in ("", "also_"):
        if f"{prefix}log_belief" not in results:
            continue
        beliefs, label = results[f"{prefix}log_belief"], results[f"{prefix}label"]
        if bool(beliefs.isnull().any()):
            raise ValueError(f"{name}: {prefix}log_belief holds NaN, expected log-probabilities")
        highest = beliefs.sizes[f"{prefix}answer"] - 1
        if int(label.min()) < 0 or int(label.max()) > highest:
            raise ValueError(f"{name}: {prefix}label must be within 0 to {highest}")
    for each in ("classifier", "condition", "look", "shift", "strength"):
        if each not in results.coords:
            raise ValueError(f"{name} has no coordinate {each!r}; is it from another program?")


RESULTS = Schema(
    "results",
    {
        "log_belief": {"classifier", "condition", "look", "scene", "answer"},
        "label": {"scene"},
    },
    optional={
        "patient": {"scene"},
        "also_log_belief": {"classifier", "look", "also_scene", "also_answer"},
        "also_label": {"also_scene"},
        "also_patient": {"also_scene"},
        "occluded_log_belief": {"classifier", "region", "occluded_scene", "answer"},
        "distance": {"classifier", "condition", "look", "scene"},
        "off_centre": {"look", "scene"},
    },
    further=("finding", "also_finding"),
    rules=_rules,
)
"""What `evaluate` returns."""
