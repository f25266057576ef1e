"""A stored part is whole, or it is done again."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from boed.benchmark.jobs import ARRAYS, Job
from boed.benchmark.storage import JobStore

JOB, STEPS = Job("boed", 0, range(4)), 2


@pytest.fixture
def arrays():
    return {
        "log_belief": np.full((4, STEPS + 1, 3), -1.0),
        "design": np.ones((4, STEPS, 2)),
        "score": np.full((4, STEPS), np.nan),  # a policy without scores
        "winners_curse": np.full((4, STEPS), np.nan),
        "effective": np.full((4, STEPS), np.nan),
        "cost": np.ones((4, STEPS)),
        "looks": np.full(4, STEPS),
        "distance": np.full((4, STEPS + 1), np.nan),  # of a classifier that does not know it
        "seconds": np.array(0.5),
    }


@pytest.fixture
def store(tmp_path, arrays):
    made = JobStore(tmp_path)
    made.save(JOB, arrays)
    return made


def test_a_whole_part_comes_back(store, arrays):
    read = store.load(JOB, STEPS)
    assert all(np.array_equal(read[name], arrays[name], equal_nan=True) for name in arrays)


@pytest.mark.parametrize("name", ["log_belief", "design", "cost", "seconds"])
def test_nan_is_done_again(store, arrays, name):
    arrays[name] = np.full_like(arrays[name], np.nan)
    store.save(JOB, arrays)
    assert store.load(JOB, STEPS) is None


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((4, 9, 1)), np.array("text"), None])
def test_arrays_of_another_form_are_done_again(store, arrays, name, wrong):
    arrays[name] = wrong
    if wrong is None:
        del arrays[name]
    store.save(JOB, arrays)
    assert store.load(JOB, STEPS) is None


def an_npy(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def an_encrypted(path):
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def a_zip_of_text(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("log_belief.npy", "text")


@pytest.mark.parametrize(
    "spoil",
    [
        an_npy,
        an_encrypted,
        a_zip_of_text,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"garbage" * 999),
        lambda path: path.write_bytes(path.read_bytes()[:500]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"(4, 3, 3)", b"(4, 3, 3(")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_file_is_done_again(store, spoil):
    spoil(store.file(JOB))
    assert store.load(JOB, STEPS) is None


def test_what_was_never_stored_is_not_there(tmp_path):
    assert JobStore(tmp_path).load(JOB, STEPS) is None
    assert JobStore(None).load(JOB, STEPS) is None
