"""The data sets, sensors and policies that benchmarks/both_schools.py compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

PRICES = [1.0] * 10 + [2.0] * 10 + [3.0] * 10
"""Of the 30 features of breast_cancer: means, standard errors, worst values."""

UNINFORMED = ("fixed", "in_order", "random", "oracle")
"""Of every part; that on pictures is `centre_out` in place of `in_order`."""

PICTURES = ("fixed", "centre_out", "random", "oracle")


@dataclass(frozen=True)
class Part:
    """What is looked at, and by which policies.

    Attributes:
        data, size, sensor, classifier, completer: as `boed.setup` takes them.
        steps: T.
        train_data: what networks learn from, if that is another set.
        updates: of a classifier that is trained for the part; the shipped one, or `classifier`, if
            there are none.
        kind: of that classifier's network.
        joint: whether the classifier then learns along with `value`; the other networks are for
            what has become of it, by which all are judged.
        begins: what networks begin with, by policy: a checkpoint, or `value` for that of the part.
        informed: policies that complete scenes.
        completers: others whose completions `boed` is run with as well, as `boed_NAME`.
        others: policies that neither complete nor learn.
        informed_steps: T of those that complete scenes, if that is less.
        two_step: looks that two-step look-ahead follows, 0 for none.
        marks: numbers of looks whose accuracy has a column; the last one alone if none are given.
        training: what differs from the preset, by policy, and of the `classifier`.
    """

    data: str
    _: KW_ONLY
    steps: int
    size: int | None = None
    train_data: str | None = None
    sensor: str | Mapping[str, Any] | None = None
    classifier: str | None = None
    updates: int | None = None
    kind: str = "small"
    joint: bool = False
    begins: Mapping[str, str] = field(default_factory=dict)
    completer: str | None = None
    informed: tuple[str, ...] = ("boed", "boed_retrieval", "boed_gaussian")
    completers: tuple[str, ...] = ()
    others: tuple[str, ...] = UNINFORMED
    informed_steps: int | None = None
    two_step: int = 0
    marks: tuple[int, ...] = ()
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def looks(self) -> dict[str, Any] | None:
        """The sensor, as a recipe has it."""
        given = {"name": self.sensor} if isinstance(self.sensor, str) else self.sensor
        return None if given is None else dict(given)


COMPLETING = ("boed", "boed_entropy", "boed_retrieval", "max_variance")
"""Both estimators, real neighbours, and the look of the largest variance, as active diffusion
subsampling takes it (which sums the entropy of a mixture about the same particles)."""

EXACT = "boed.completion.classical.cubes:"

PARTS = {
    "cube": Part(
        "cube", steps=5, classifier=f"{EXACT}ExactCube", completer=f"{EXACT}ExactCube", two_step=20
    ),
    "cube_nm": Part(
        "cube_nm",
        steps=5,
        classifier=f"{EXACT}ExactCubeNM",
        completer=f"{EXACT}ExactCubeNM",
        two_step=51,
        training={"nonmyopic": {"batch": 64}, "value": {"batch": 64}},
    ),
    "breast_cancer": Part(
        "breast_cancer",
        steps=5,
        sensor={"name": "features", "costs": PRICES},
        classifier="gaussian",
        completer="gaussian",
        informed=("boed", "boed_retrieval"),
        two_step=30,
        training={"nonmyopic": {"price": 0.01}},
    ),
    "wine": Part(
        "wine",
        steps=3,
        classifier="gaussian",
        completer="gaussian",
        informed=("boed", "boed_retrieval"),
        two_step=13,
    ),
    "digits": Part(
        "digits",
        size=32,
        train_data="mnist_28",
        steps=4,
        sensor={"name": "patch", "grid": 9},
        completer="flow",
        informed=COMPLETING,
        completers=("aipo",),
        others=PICTURES,
        two_step=4,
        marks=(1, 2, 3, 4),
    ),
    "pixels": Part(
        "mnist_28",
        size=28,
        steps=50,
        sensor={"name": "pixels"},
        updates=5000,
        kind="mlp",
        joint=True,
        begins={"nonmyopic": "value"},
        completer="retrieval",
        informed=("boed", "max_variance"),
        informed_steps=20,
        others=("fixed", "random"),
        marks=(5, 10, 20, 30, 50),
        training={
            "value": {
                "looks": 30,
                "batch": 256,
                "candidates": 4,
                "moments": 8,
                "steps": 8000,
                "target": "information",
                "explore": 0.05,
                "exploring": 0.2,
            },
            "nonmyopic": {"looks": 30, "batch": 64, "candidates": 4, "steps": 3000},
            "greedy": {"looks": 30, "batch": 64},
        },
    ),
    "glimpses": Part(
        "mnist_28",
        size=28,
        steps=6,
        sensor={"name": "patch", "patch": 8 / 28, "grid": 11},
        updates=20000,
        joint=True,
        begins={"nonmyopic": "value"},
        training={
            "classifier": {"augmentation": "light"},
            "value": {
                "batch": 64,
                "candidates": 2,
                "moments": 6,
                "steps": 10000,
                "target": "information",
                "augmentation": "light",
            },
            "nonmyopic": {"steps": 2000, "augmentation": "light"},
            "greedy": {"augmentation": "light"},
        },
        completer="retrieval",
        informed=("boed", "boed_entropy", "max_variance"),
        others=PICTURES,
        marks=(2, 4, 6),
    ),
    "kspace": Part(
        "digits",
        size=32,
        train_data="mnist_28",
        steps=6,
        sensor="kspace",
        completer="retrieval",
        informed=("boed", "boed_entropy", "max_variance"),
        others=UNINFORMED,
        marks=(1, 2, 4, 6),
    ),
    "cifar10": Part(
        "cifar10_jpeg_32",
        size=32,
        steps=5,
        sensor={"name": "patch", "grid": 9},
        completer="flow",
        informed=COMPLETING,
        others=PICTURES,
        marks=(1, 3, 5),
    ),
    "kermany": Part(
        "kermany_pneumonia_128",
        size=64,
        steps=3,
        sensor={"name": "patch", "grid": 9},
        completer="flow",
        informed=COMPLETING,
        completers=("aipo",),
        others=PICTURES,
        marks=(1, 2, 3),
        training={"nonmyopic": {"steps": 3000}},
    ),
    "kermany_17": Part(
        "kermany_pneumonia_128",
        size=64,
        steps=3,
        sensor={"name": "patch", "grid": 17},
        completer="flow",
        begins={
            "value": "policies/value-kermany-64/weights.safetensors",
            "nonmyopic": "value",
        },
        informed=("boed", "boed_retrieval", "max_variance"),
        others=PICTURES,
        marks=(1, 2, 3),
        training={"value": {"steps": 1000}, "nonmyopic": {"steps": 1500}},
    ),
}
"""By name."""
