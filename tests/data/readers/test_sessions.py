"""Logs of sessions as partly seen images: no more, and no less, than what the sessions saw."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from boed.data import load
from boed.data.observation import Observation
from boed.data.readers.incomplete import read_incomplete
from boed.data.readers.sessions import seen_after
from boed.data.training_split import incomplete_splits
from boed.foundation.events import EVENTS, read_events
from boed.policies import Random
from boed.sensors import Features, KSpaceLines, Lines, PatchSensor, PixelBlocks, Sensor
from boed.sensors.reading import read
from boed.session import Session
from tests.doubles import Constant, RowSensor

BELIEF = Constant((-0.7, -0.7))

SENSORS: dict[str, tuple[Callable[[], Sensor], tuple[int, int, int]]] = {
    "overlapping patches": (lambda: PatchSensor(12, 0.5, 5), (1, 12, 12)),
    "blocks of colour": (lambda: PixelBlocks((6, 6), 4), (3, 6, 6)),
    "lines that cross": (lambda: Lines((5, 7), "both", 2), (2, 5, 7)),
    "features": (lambda: Features(5), (1, 1, 5)),
    "a user's rows": (RowSensor, (1, 6, 6)),
}


def saw(
    path: Path, sensor: Sensor, shape: tuple[int, int, int], *, seed: int = 0, looks: int = 3
) -> list[Observation]:
    """What was known after each reading of a session with pending, failed and undone looks."""
    scene = torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed))
    with Session(sensor, Random(), BELIEF, path=path, shape=shape, seed=seed) as session:
        seen = [session.observation]
        for _ in range(looks):
            look, late = session.suggest(2)
            session.ingest(late, None)
            for again in (True, False):
                session.ingest(look, read(sensor, scene, torch.tensor(look.design)))
                if again:
                    session.undo()
            seen.append(session.observation)
        session.suggest()
    return seen


@pytest.mark.parametrize("name", SENSORS)
def test_a_log_says_what_was_seen_without_its_sensor(name: str, tmp_path: Path) -> None:
    make, shape = SENSORS[name]
    known = saw(tmp_path / "log", make(), shape, looks=2)
    after = seen_after(read_events(tmp_path / "log")[0], "log")
    assert len(after) == len(known)
    for (values, mask), seen in zip(after, known, strict=True):
        assert torch.equal(values, seen.values[0])
        assert torch.equal(mask.float(), seen.mask[0])


def sessions(folder: Path, number: int = 5) -> dict[str, Observation]:
    names = [f"session-{k}" for k in range(number)]
    sensor = PatchSensor(8, 0.5, 3)
    return {name: saw(folder / name, sensor, (1, 8, 8), seed=k)[-1] for k, name in enumerate(names)}


def test_many_logs_are_a_data_set(tmp_path: Path) -> None:
    known = sessions(tmp_path)
    with Session(PatchSensor(8, 0.5, 3), Random(), BELIEF, path=tmp_path / "unread") as session:
        session.suggest()
    splits = [*incomplete_splits(tmp_path), read_incomplete(tmp_path, "test")]
    assert sum(map(len, splits)) == len(known)  # type: ignore[arg-type]
    ours = {tuple(seen.values.flatten().tolist()): seen.mask[0] for seen in known.values()}
    for split in splits:
        assert split is not None
        for values, mask in zip(split.images, split.masks, strict=True):
            assert torch.equal(mask.float(), ours.pop(tuple(values.flatten().tolist())))
    assert not ours
    for name in known:
        split = "val" if name == "session-3" else "train"
        shutil.move(tmp_path / name, tmp_path / split / name)
    shutil.rmtree(tmp_path / "unread")
    train, val = incomplete_splits(tmp_path, 8)
    assert (len(train), len(val), train.hidden_by) == (4, 1, None)
    assert torch.equal(val.images[0], known["session-3"].values[0])


def another_shape(folder: Path) -> str:
    saw(folder / "train" / "session-9", PatchSensor(12, 0.5, 3), (1, 12, 12))
    return r"session-9 is of scenes \(1, 12, 12\), the first one of \(1, 8, 8\)"


def no_pixels(folder: Path) -> str:
    saw(folder / "train" / "a", KSpaceLines((6, 8)), (1, 6, 8))
    return "log .*a is of a sensor that reads no pixels; expected one that sees pixels"


def damaged(folder: Path) -> str:
    (folder / "train" / "session-1" / EVENTS).write_text("[]\n")
    return "log .*session-1: line 1 of log.jsonl is damaged"


def nothing_read(folder: Path) -> str:
    shutil.rmtree(folder / "train")
    with Session(PatchSensor(8), Random(), BELIEF, path=folder / "train" / "a"):
        return r"\(train\): no session of 2 is in this split and has read anything"


def beyond_white(folder: Path) -> str:
    sensor = PatchSensor(8, 0.5, 3, noise=3.0)
    with Session(sensor, Random(), BELIEF, path=folder / "train" / "a") as session:
        session.ingest(session.suggest()[0], torch.full((1, 4, 4), 1.5))
    return "what is seen of images spans"


@pytest.mark.parametrize("wrong", [another_shape, no_pixels, damaged, nothing_read, beyond_white])
def test_logs_that_make_no_set_are_refused_by_name(
    wrong: Callable[[Path], str], tmp_path: Path
) -> None:
    sessions(tmp_path / "train", 2)
    saw(tmp_path / "val" / "other", PatchSensor(8, 0.5, 3), (1, 8, 8))
    message = wrong(tmp_path)
    with pytest.raises(ValueError, match=message):
        incomplete_splits(tmp_path)


def test_whole_scenes_are_not_made_of_logs(tmp_path: Path) -> None:
    sessions(tmp_path, 1)
    with pytest.raises(ValueError, match=r"logs of sessions, of whose .* `--from observations`"):
        load(tmp_path)
