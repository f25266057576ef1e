"""Looks at completions classified: in chunks, with shared work, each different look once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from boed.data.observation import Observation
from boed.eig.completions.beliefs import CandidateBeliefs
from boed.eig.completions.duplicates import first_duplicate, unique_rows
from boed.sensors import Features, KSpaceLines, Lines, PatchSensor, PixelBlocks


class Counting:
    """Believes by what was seen, shares work if asked, and counts what it judged."""

    def __init__(self) -> None:
        self.classified, self.bases = 0, []

    def log_probs(self, observation: Observation) -> Tensor:
        self.classified += len(observation)
        total = observation.values.flatten(1).sum(1) + observation.mask.flatten(1).sum(1).sqrt()
        return torch.stack([total, total.cos()], 1).log_softmax(1)


class Sharing(Counting):
    """The same, with a base."""

    def around(self, observation: Observation) -> Any:
        self.bases.append(len(observation))
        known = observation.values

        def nearby(after: Observation, base: Tensor) -> Tensor:
            seen = known[base] * (observation.mask[base] > 0)
            assert torch.equal(after.values * (observation.mask[base] > 0), seen)
            return self.log_probs(after)

        return nearby


def seen_twice(sensor: Any, size: int, batch: int) -> tuple[Observation, Tensor]:
    scenes = torch.rand(batch, 1, size, size, generator=torch.Generator().manual_seed(1))
    designs = sensor.designs(Observation.nothing(batch, 1, size))
    seen = Observation.nothing(batch, 1, size)
    for number in (0, len(designs) // 2):
        seen = sensor.observe(seen, scenes, designs[number].expand(batch, -1))
    return seen, designs


SENSORS = {
    "patches": lambda: PatchSensor(8, 0.5, 5),
    "lines": lambda: Lines(8),
    "k-space": lambda: KSpaceLines(8),
}


@pytest.mark.parametrize("name", SENSORS)
def test_merging_changes_nothing_and_saves_looks(name: str) -> None:
    sensor = SENSORS[name]()
    seen, designs = seen_twice(sensor, 8, 3)
    completions = torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    merging, plain = Counting(), Counting()
    ahead = CandidateBeliefs(
        observation=seen,
        completions=completions,
        designs=designs,
        sensor=sensor,
        classifier=merging,
    )
    result = ahead.all()
    one_by_one = CandidateBeliefs(
        observation=seen, completions=completions, designs=designs, sensor=sensor, classifier=plain
    )
    vars(one_by_one)["_duplicate"] = None
    torch.testing.assert_close(result, one_by_one.all(), atol=1e-6, rtol=1e-6)
    assert plain.classified == 2 * 3 * len(designs)
    alike = first_duplicate(seen, designs, sensor)
    assert alike is not None
    different = sum(len(row.unique()) for row in alike)
    assert merging.classified == 2 * different < plain.classified


def test_few_looks_are_judged_without_a_search_for_the_same_ones() -> None:
    sensor = PixelBlocks(8)
    seen, designs = seen_twice(sensor, 8, 3)
    completions = torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    of = {"observation": seen, "completions": completions, "designs": designs, "sensor": sensor}
    every = CandidateBeliefs(**of, classifier=Counting()).all()
    some = CandidateBeliefs(**of, classifier=Counting())
    completion, scene = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 0])
    candidate = torch.tensor([5, 63, 0])
    found = some.at(completion, scene, candidate)
    torch.testing.assert_close(found, every[completion, scene, candidate], atol=1e-6, rtol=1e-6)
    assert "_duplicate" not in vars(some)


def test_looks_are_alike_if_they_show_the_same() -> None:
    sensor = PatchSensor(8, 0.5, 5)
    seen, designs = seen_twice(sensor, 8, 2)
    alike = first_duplicate(seen, designs, sensor)
    assert alike is not None
    new = sensor.footprint(designs) * (seen.mask[:1] == 0)
    for row in alike:
        for one, first in enumerate(row.tolist()):
            assert torch.equal(new[one], new[first])
            assert all(not torch.equal(new[one], new[earlier]) for earlier in range(first))


def test_unknown_sensors_and_unseen_scenes_are_left_alone() -> None:
    sensor = PatchSensor(8, 0.5, 5)
    blank = Observation.nothing(2, 1, 8)
    assert first_duplicate(blank, sensor.designs(blank), sensor) is None

    class Own:
        designs, observe, cost = sensor.designs, sensor.observe, sensor.cost

    seen, designs = seen_twice(sensor, 8, 2)
    assert first_duplicate(seen, designs, Own()) is None


def test_merged_rows_come_back_in_order() -> None:
    alike = torch.tensor([[0, 0, 2], [0, 1, 1]])
    which = (torch.tensor([1, 0, 0, 0]), torch.tensor([1, 0, 0, 1]), torch.tensor([2, 1, 0, 2]))
    alone, again = unique_rows(which, alike)
    rows = list(zip(*(index[again].tolist() for index in alone), strict=True))
    assert rows == [(1, 1, 1), (0, 0, 0), (0, 0, 0), (0, 1, 1)]
    assert len(alone[0]) == 3


def test_features_taken_already_are_judged_once() -> None:
    sensor, batch = Features(6), 4
    rows = torch.rand(batch, 1, 1, 6)
    seen = Observation.nothing(batch, 1, (1, 6))
    for number in (1, 4, 5):
        seen = sensor.observe(seen, rows, torch.full((batch, 1), number))
    classifier = Counting()
    ahead = CandidateBeliefs(
        observation=seen,
        completions=rows[None],
        designs=sensor.designs(seen),
        sensor=sensor,
        classifier=classifier,
    )
    assert ahead.all().shape == (1, batch, 6, 2)
    assert classifier.classified == batch * 4  # three new ones, and the same again


@pytest.mark.parametrize("room", [1, 2, 5, 100])
def test_shared_work_is_bounded_and_changes_nothing(room: int, monkeypatch: Any) -> None:
    sensor = PatchSensor(8, 0.5, 5)
    seen, designs = seen_twice(sensor, 8, 5)
    completions = torch.rand(2, 5, 1, 8, 8)
    expected = CandidateBeliefs(
        observation=seen,
        completions=completions,
        designs=designs,
        sensor=sensor,
        classifier=Counting(),
    ).all()
    monkeypatch.setattr("boed.eig.completions.beliefs.images_within", lambda *_: room)
    classifier = Sharing()
    ahead = CandidateBeliefs(
        observation=seen,
        completions=completions,
        designs=designs,
        sensor=sensor,
        classifier=classifier,
    )
    torch.testing.assert_close(ahead.all(), expected, atol=1e-6, rtol=1e-6)
    assert max(classifier.bases) <= room
    order = torch.randperm(50)[:9]
    which = (order % 2, order % 5, order % 25)
    result = ahead.at(*which)
    torch.testing.assert_close(result, expected[which], atol=1e-6, rtol=1e-6)
    if room >= 5:
        assert classifier.bases == [5]  # once for all calls
