"""What is measured of completers, and on which scenes and masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.dataset import Dataset
from boed.data.masks import check_masks, holes, named, read_masks, squares
from boed.foundation.checks import at_least
from boed.foundation.randomness import derive

HOLES = "holes"
ALL = "all"
"""The union over all numbers of squares: FID-agg of Harvey et al. 2021, Fig. 3."""


class Extractor(Protocol):
    """What describes scenes for the distances between sets of them, and answers the question."""

    name: str

    def features(self, scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]: ...

    def log_probs(self, scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Log-probabilities of the answers."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured on how many scenes.

    Attributes:
        scenes: for realism, with one completion each; N of the Fréchet distance.
        deep: how many of them get `n` completions, for everything else; 64, or all if there are
            fewer, where it is 0.
        n: completions of each of those.
        seeds: of the completions; scenes and masks are the same for all.
        counts: numbers of squares seen.
        holes: whether to measure with everything seen but a few squares, too.
        masks: others to measure with, each a condition of that name, as `boed.data.masks.named`
            takes them.
        fraction: side of a square over the width.
        diversity_completions: of `diversity_scenes` observations for diversity from all pairs of
            completions; 317 make the 50,000 pairs of Harvey et al. 2021 (Sec. 5). Where it is 0,
            diversity is that of the `n` completions alone.
        statistics: random projections for simulation-based calibration.
        batch: completions asked for at once.

    Raises:
        ValueError: a number that is too small, or masks that there are not, or twice.
    """

    scenes: int = 256
    deep: int = 0
    n: int = 10
    seeds: tuple[int, ...] = (0, 1, 2)
    counts: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    holes: bool = True
    masks: tuple[str, ...] = ()
    fraction: float = 0.35
    diversity_scenes: int = 10
    diversity_completions: int = 0
    statistics: int = 6
    batch: int = 64

    def __post_init__(self) -> None:
        at_least(8, scenes=self.scenes)
        object.__setattr__(self, "deep", self.deep or min(64, self.scenes))
        at_least(8, deep=self.deep)
        at_least(2, n=self.n)
        at_least(1, statistics=self.statistics, batch=self.batch)
        at_least(1, diversity_scenes=self.diversity_scenes)
        fewest = 2 if self.diversity_completions > 0 else 0
        at_least(fewest, diversity_completions=self.diversity_completions)
        if self.deep > self.scenes:
            raise ValueError(f"deep is {self.deep}, expected at most `scenes`, {self.scenes}")
        if self.diversity_completions and self.diversity_scenes > self.scenes:
            raise ValueError(
                f"diversity_scenes is {self.diversity_scenes}, expected at most `scenes`, "
                f"{self.scenes}"
            )
        if not self.seeds or not self.counts:
            raise ValueError("seeds and counts must not be empty")
        object.__setattr__(self, "masks", read_masks(self.masks) if self.masks else ())
        if HOLES in self.masks:
            raise ValueError(
                f"masks has {HOLES!r}, a condition that is measured already; expected others, or "
                "with arguments, such as holes:0.25"
            )

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the masks that are measured with."""
        return (*map(str, self.counts), *([HOLES] if self.holes else []), *self.masks)


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """The scenes and masks on which completers are compared.

    Attributes:
        scenes: `[N, C, H, W]`.
        answers: `[N]`.
        masks: by condition, `[N, 1, H, W]`.
        rows: of the scenes in the data set.
        other: real images that completions are not made of, for the floor, `[M, C, H, W]`: as
            many as there are scenes, for each number of squares, where the library has so many.
    """

    scenes: Float[Tensor, "N C H W"]
    answers: Tensor
    masks: Mapping[str, Float[Tensor, "N 1 H W"]]
    rows: Tensor
    other: Float[Tensor, "M C H W"] = field(repr=False)


def choose_task(test: Dataset, library: Dataset, plan: Plan) -> Task:
    """A fixed random choice of scenes and masks.

    Args:
        test: scenes to complete.
        library: other images of the same kind, such as the training split.
        plan: how many.

    Raises:
        ValueError: fewer images than the plan asks for, or masks that they cannot have.
    """
    check_scenes(plan, test, library)
    generator = torch.Generator().manual_seed(derive("evaluation", "scenes"))
    rows = torch.randperm(len(test), generator=generator)[: plan.scenes]
    others = torch.randperm(len(library), generator=generator)[: plan.scenes * len(plan.counts)]
    masks = {name: _masks(plan, name, test.size) for name in plan.conditions}
    answers = test.labels[rows] if not test.multi_label else test.labels[rows, -1]
    return Task(
        scenes=test.scenes(rows),
        answers=answers,
        masks=masks,
        rows=rows,
        other=library.scenes(others),
    )


def _masks(plan: Plan, condition: str, size: int) -> Float[Tensor, "N 1 H W"]:
    """What is seen of each scene in a condition."""
    generator = torch.Generator().manual_seed(derive("evaluation", "masks", condition))
    if condition in plan.masks:
        return named(condition)(plan.scenes, size, generator=generator)
    count = torch.randint(1, 6, (plan.scenes,), generator=generator)
    if condition == HOLES:
        return holes(plan.scenes, size, plan.fraction, counts=count, generator=generator)
    count = torch.full((plan.scenes,), int(condition))
    return squares(plan.scenes, size, plan.fraction, counts=count, generator=generator)


def completions_each(plan: Plan, *, timed: bool = False) -> int:
    """Completions that one completer draws with one seed, or those whose drawing is timed.

    That of the many pairs is not, between which features are made.
    """
    each = plan.deep * plan.n + plan.scenes - plan.deep
    pairs = 0 if timed else plan.diversity_scenes * plan.diversity_completions
    return len(plan.conditions) * (each + pairs)


def check_scenes(plan: Plan, *datasets: Dataset) -> None:
    """Refuse a plan for more scenes than there are, or with masks that they cannot have.

    Raises:
        ValueError: naming the data set that has fewer, or the masks.
    """
    for dataset in datasets:
        if len(dataset) < plan.scenes:
            raise ValueError(
                f"scenes is {plan.scenes}, but {dataset.name} ({dataset.split}) has {len(dataset)}"
            )
        for each in plan.masks:
            check_masks(each, dataset.size)
