"""One sequence of looks for all scenes, and how to find a good one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.completion.completer import Completions
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.eig.completions.estimate import eig_map
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.foundation.randomness import Seeds, derive
from boed.policies.policy import Decision, pick
from boed.sensors.sensor import Sensor, look, reads_new


@checked
@dataclass(frozen=True, eq=False)
class FixedDesign:
    """The same looks at every scene, in the same order, whatever they show.

    A scene's next look is the first that would read anything new; when none would, it stops.

    >>> from boed.sensors import PatchSensor
    >>> corners = FixedDesign(torch.tensor([[0, 0], [24, 24]]))
    >>> sensor, nothing = PatchSensor(32), Observation.nothing(3, 1, 32)
    >>> corners.choose(nothing, sensor).designs.tolist()
    [[0, 0], [0, 0], [0, 0]]
    >>> seen = sensor.observe(nothing, torch.zeros(3, 1, 32, 32), torch.zeros(3, 2))
    >>> corners.choose(seen, sensor).designs.tolist()
    [[24, 24], [24, 24], [24, 24]]

    Attributes:
        designs: the looks in order, `[T, K]`.

    Raises:
        ValueError: designs that are not `[T, K]` and finite, or none.
    """

    deterministic = True
    designs: Float[Tensor, "T K"]

    def __post_init__(self) -> None:
        designs = self.designs
        if designs.ndim != 2 or len(designs) == 0 or not designs.isfinite().all():
            raise ValueError(
                f"designs must be [T, K], finite, with at least one look, got "
                f"{tuple(designs.shape)}: {designs.tolist()}"
            )

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        """The next look of the sequence for each scene."""
        designs = self.designs.to(observation.device)
        new = reads_new(sensor, observation, designs)
        first = new.float().argmax(1)
        return Decision(designs[first], candidates=designs, index=first, stop=~new.any(1))


@checked
@torch.no_grad()
def optimise_fixed_design(
    train: Dataset,
    sensor: Sensor,
    classifier: Classifier,
    *,
    looks: int,
    scenes: int = 500,
    seed: int = 0,
    memory: int = 512,
    device: str | torch.device = "cpu",
) -> FixedDesign:
    """The best looks for all scenes at once: what adaptive policies have to beat.

    Greedy: each look is the one after which the classifier gives the true answers of the training
    scenes the highest mean log-probability, given the looks before it. That is the EIG with the
    training scenes as samples of the prior and their labels as answers (Barber and Agakov 2003),
    of a design that is not allowed to depend on what it sees.

    Args:
        train: scenes with their labels, none that the policy is measured on; best also none that
            the classifier was trained on, whose answers it knows too well.
        sensor: offers the candidates.
        classifier: gives the beliefs.
        looks: length of the sequence, T.
        scenes: how many of the training scenes, drawn at random; all if there are no more.
        seed: of the draw, of ties and of the sensor's noise.
        memory: bound on the candidate images held at once, MiB.
        device: where the scenes are put; the classifier must be there.

    Raises:
        ValueError: `looks` or `scenes` below 1, no training scenes, or a classifier for other
            answers than the labels.
    """
    at_least(1, looks=looks, scenes=scenes)
    if len(train) == 0:
        raise ValueError(f"train: {train.name} ({train.split}) has no scenes, expected some")
    drawn = torch.Generator().manual_seed(derive(seed, "fixed design"))
    rows = torch.randperm(len(train), generator=drawn)[:scenes]
    scene, labels = train.scenes(rows).to(device), train.labels[rows].to(device)
    noise = [derive(seed, "noise", row) for row in rows.tolist()]
    known = Completions(scene[None], torch.ones(1, len(scene), device=device), labels[None])
    observation = Observation.nothing_of(scene)
    chosen: list[Tensor] = []
    for number in range(looks):
        result = eig_map(
            observation,
            known,
            sensor,
            classifier=classifier,
            estimator="variational",
            memory=memory,
            seed=noise,
        )
        best = pick(result.finished_eig.mean(0)[None], [derive(seed, "look", number)])
        chosen.append(result.designs[best])
        observation = look(
            sensor, observation, scene, design=chosen[-1].expand(len(scene), -1), seeds=noise
        )
    return FixedDesign(torch.cat(chosen))
