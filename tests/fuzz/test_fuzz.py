"""Whatever a file holds, its reader gives something or raises ValueError: one line for the user.

The changes are seeded: those of the fast suite are the same each time. `BOED_FUZZ_SECONDS` makes
others, for so many seconds a format, after a random seed (`just fuzz`) or after `BOED_FUZZ_FIRST`
(CI, which must not fail by chance); what fails names its seed and leaves its file.
"""

from __future__ import annotations

import os
import random
import time
import warnings
from pathlib import Path

import pytest

from boed.foundation.memory import LIMIT
from tests.fuzz import mutations
from tests.fuzz.formats import FORMATS

ROUNDS = 25
SECONDS = float(os.environ.get("BOED_FUZZ_SECONDS", 0))
SLOW_S = 20
"""No reader takes so long for a small file, however busy the machine."""


def seeds():
    """The rounds of the fast suite, or others until the time is over."""
    if not SECONDS:
        yield from range(ROUNDS)
        return
    end = time.monotonic() + SECONDS
    first = int(os.environ.get("BOED_FUZZ_FIRST", random.SystemRandom().randrange(1 << 48)))
    while time.monotonic() < end:
        first += 1
        yield first


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_one_error_comes_out(
    name: str, tmp_path: Path, monkeypatch, record_property
) -> None:
    monkeypatch.setenv(LIMIT, "0.25")
    monkeypatch.setenv("BOED_CACHE", "")
    kind = FORMATS[name]
    path = tmp_path / kind.name
    kind.sound(path)
    sound = path.read_bytes()
    kind.read(path)
    read = refused = 0
    for seed in seeds():
        rng = random.Random(seed)
        change = rng.choice((mutations.of_bytes, *kind.changes, *kind.changes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                path.write_bytes(change(rng, sound))
            except Exception:
                continue  # no library writes such a file
            began = time.monotonic()
            try:
                kind.read(path)
                read += 1
            except ValueError as error:
                refused += bool(str(error))
            except Exception as error:
                raise AssertionError(f"{name}, seed {seed}, {path}: {error!r}") from error
        assert time.monotonic() - began < SLOW_S, f"{name}, seed {seed}, {path} took too long"
    record_property("right", read)  # as far as a changed file can be
    record_property("error", refused)
    assert refused or name == "part"  # a part is done again instead
