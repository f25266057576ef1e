"""What models are chosen for, and those that are fitted to it at once, without training."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from boed.classifiers.calibration import cross_entropy
from boed.completion.classical.filling import FILLINGS
from boed.completion.classical.gaussian import GaussianMixture
from boed.completion.classical.retrieval import Retrieval, readings_of
from boed.completion.completer import Completer
from boed.data.dataset import Dataset
from boed.data.labels import naming_advice
from boed.data.load import load
from boed.data.observation import Observation
from boed.foundation.checks import attribute
from boed.foundation.randomness import derive
from boed.sensors import Sensor
from boed.sensors.random_looks import RandomLooks
from boed.sensors.registry import is_table
from boed.sensors.sensor import returns_readings
from boed.zoo.defaults import FAMILY

LARGE = 20_000
"""Retrieval from more images than this goes through an index."""

BANDWIDTHS = (0.01, 0.02, 0.05, 0.1, 0.2)
NOISES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""What is tried on val where a completer without training needs a number."""

FITTED = ("retrieval", "gaussian", *FILLINGS)
"""Completers that need a library and no training."""


@dataclass(frozen=True, eq=False)
class Context:
    """What models are chosen for: a data set, its library and its sensor.

    Attributes:
        data: the scenes.
        sensor: what looks at them.
        library: scenes to retrieve from and to fit to; None where there is none.
        val: scenes on which numbers are chosen; None where there is none.
        steps: looks at most.
        source: name or path of the data that can be trained on, as advice on what to type gives it;
            the name of `data` if None.
    """

    data: Dataset
    sensor: Sensor
    _: KW_ONLY
    library: Dataset | None = None
    val: Dataset | None = None
    steps: int = 3
    source: str | None = None

    @property
    def options(self) -> str:
        """What is typed for these data."""
        return f"--data {shlex.quote(self.source or self.data.name)} --size {self.data.size}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.data.images.shape[1:]
        return channels, height, width

    @property
    def family(self) -> str | None:
        """The word for this kind of scenes in the names of models, where there are any."""
        return FAMILY.get(self.data.name)

    @property
    def resized(self) -> bool:
        """Whether the scenes can be read at another size: pictures can, which are square."""
        return not is_table(self.data) and self.data.shape[0] == self.data.shape[1]

    @cached_property
    def indirect(self) -> bool:
        """Whether a look returns readings that are no pixels."""
        return returns_readings(self.sensor, self.shape)

    def fitted(self, name: str) -> Completer:
        """One of `FITTED`, fitted to the library once and shared."""
        if name not in self._fitted:
            self._fitted[name] = _fitted(self, name)
        return self._fitted[name]

    @cached_property
    def _fitted(self) -> dict[str, Completer]:
        return {}

    @property
    def transform(self) -> Callable[[Tensor], Tensor] | None:
        """From scenes to readings, where the sensor has such a thing."""
        if not self.indirect:
            return None
        forward: Callable[[Tensor], Tensor] | None = attribute(self.sensor, "forward", None)
        return forward


class Missing(ValueError):
    """Nothing is shipped for what was asked, and what to do about it."""


class GaussianClassifier:
    """The classes' posterior under a mixture of Gaussians with a component for each class.

    It is exact for that mixture, and needs no training: a baseline, not a good classifier.
    """

    def __init__(self, mixture: GaussianMixture) -> None:
        self.mixture = mixture

    def log_probs(self, observation: Observation) -> Tensor:
        """Log-probabilities of the classes, `[B, K]`."""
        transform = self.mixture.transform
        if transform is not None and observation.readings is None and observation.mask.all():
            # of whole scenes, all that can be read
            readings = readings_of(transform, observation.values)
            everything = torch.ones_like(readings)
            observation = replace(observation, readings=readings, taken=everything)
        return self.mixture.log_probs(observation)


def _why_not(context: Context) -> str:
    """What is wrong with the train split, in brackets."""
    if context.source is None:
        return ""
    try:
        load(context.source, context.data.size, "train")
    except ValueError as error:
        return f" ({error})"
    return ""


def library_of(context: Context, role: str) -> Dataset:
    if context.library is None:
        raise Missing(
            f"{role} is fitted to a library, and {context.data.name} has no train split that can "
            f"be read{_why_not(context)}: give `library` the name or path of a data set that has "
            "one"
        )
    return context.library


def labelled_library(context: Context, role: str) -> Dataset:
    """The library of what learns from its labels, which have to answer what the scenes are asked.

    Raises:
        Missing: there is none.
        ValueError: its labels have other names; both are said.
    """
    library, data = library_of(context, role), context.data
    if not _same_question(library, context):
        raise ValueError(
            f"library: {library.name} ({library.split}) is labelled {_answers(library)}; "
            f"{data.name} ({data.split}) asks {_answers(data)}, and {role} is fitted to the "
            f"library's labels{naming_advice(data, library)}"
        )
    return library


def _answers(data: Dataset) -> str:
    return f"{', '.join(data.label_names)}{' (several at once)' if data.multi_label else ''}"


def _fitted(context: Context, name: str) -> Completer:
    library = library_of(context, f"completer {name}")
    if name in FILLINGS:
        if context.indirect:
            raise ValueError(
                f"completer: {name} completes pixels; {type(context.sensor).__name__} returns "
                "readings, which gaussian and retrieval can be given"
            )
        return FILLINGS[name](library)
    if context.indirect and context.transform is None:
        raise ValueError(
            f"completer {name}: {type(context.sensor).__name__} returns readings and has no method "
            "forward(scenes) -> readings [B, R] that tells what it would read of a scene"
        )
    patches = not context.indirect and not is_table(context.data)
    if name == "retrieval" and (patches or context.val is None):
        large = not context.indirect and len(library) > LARGE
        return Retrieval(
            library,
            transform=context.transform,
            labelled=_same_question(library, context),
            candidates=1_000 if large else None,
        )
    if name == "retrieval":
        return _chosen(
            context,
            BANDWIDTHS,
            lambda width: Retrieval(
                library, width, context.transform, labelled=_same_question(library, context)
            ),
        )
    mixture = mixture_for(context, library)
    if context.val is None:
        return mixture

    def with_noise(noise: float) -> GaussianMixture:
        model = copy.copy(mixture)  # the noise plays no part in the fit
        model.noise = noise
        return model

    return _chosen(context, NOISES, with_noise)


def _same_question(library: Dataset, context: Context) -> bool:
    """Whether the library's labels answer what the scenes are asked."""
    ours = context.data
    return (library.label_names, library.multi_label) == (ours.label_names, ours.multi_label)


def mixture_for(context: Context, library: Dataset) -> GaussianMixture:
    by_class = not library.multi_label and _same_question(library, context)
    components: Any = "classes" if by_class else 10
    return GaussianMixture(library, components, transform=context.transform)


def _chosen(
    context: Context, numbers: Sequence[float], make: Callable[[float], Completer]
) -> Completer:
    """The one under which the completer itself says most of the labels of 200 val scenes."""
    assert context.val is not None
    val = context.val
    if val.multi_label or not _same_question(val, context):  # no such posterior: the default
        return make(numbers[len(numbers) // 2])
    if len(val) > 200:
        rows = torch.randperm(len(val), generator=torch.Generator().manual_seed(derive("val")))
        val = val.subset(rows[:200])
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, context.steps + 1, (len(val),), generator=generator)
    seen = RandomLooks(context.sensor, context.shape)(val.scenes(), counts, generator)
    losses = []
    for number in numbers:
        model = make(number)
        if isinstance(model, Retrieval):
            weights = (-model.distances(seen) / (2 * number**2)).softmax(1)
            answers = len(model.library.label_names)
            classes = torch.nn.functional.one_hot(model.library.labels, answers).float()
            belief = (weights @ classes + 1e-3).log().log_softmax(1)
        else:
            assert isinstance(model, GaussianMixture)
            belief = model.log_probs(seen)
        losses.append(float(cross_entropy(belief, val.labels).mean()))
    return make(numbers[losses.index(min(losses))])
