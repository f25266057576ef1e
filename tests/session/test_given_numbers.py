"""Readings and numbers of whatever kind: of torch, of numpy, and as lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boed.acquisition import Budget
from boed.policies import CentreOut
from boed.session import Session
from tests.doubles import ClueClassifier
from tests.session.test_session import TILED, reading, state

ARRAYS: dict[str, Callable[[Any], Any]] = {
    "other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "flipped": lambda array: array[:, ::-1, ::-1],
    "long": lambda array: array.astype(np.longdouble),
    "half": lambda array: array.astype(np.float16),
    "read only": lambda array: np.broadcast_to(array, array.shape),
    "not contiguous": lambda array: np.asfortranarray(array),
    "nothing masked": lambda array: np.ma.array(array, mask=False),
    "lists": lambda array: array.tolist(),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_reading_may_be_any_array_of_numpy(name: str, recwarn: pytest.WarningsRecorder) -> None:
    session = Session(TILED, CentreOut(), ClueClassifier())
    (look,) = session.suggest()
    given = ARRAYS[name](np.arange(16, dtype=np.float32).reshape(1, 4, 4) / 16)
    session.ingest(look, given)
    assert session.history[-1].arrays["reading"].tolist() == np.asarray(given).tolist()
    assert not recwarn.list


NUMPY: dict[str, Callable[[Session], object]] = {
    "look": lambda session: session.ingest(np.int64(0), None),
    "cost": lambda session: session.ingest(0, None, cost=np.float32(0.5)),  # type: ignore[arg-type]
    "veto": lambda session: session.veto(np.int32(0)),
    "instead": lambda session: session.choose(np.zeros(2), instead=np.uint8(0)),
    "shape of": lambda session: session.reading_shape(np.int64(0)),
    "label": lambda session: session.label(np.int64(2)),
    "looks": lambda session: session.suggest(np.int64(2)),
}


@pytest.mark.parametrize("name", NUMPY)
def test_numbers_may_be_numpy_s(name: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"seed": np.int64(3), "budget": Budget(cost=np.float32(9))}  # type: ignore[arg-type]
    with Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path, **given) as session:
        session.suggest()
        NUMPY[name](session)
        before = state(session)
    with Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path, **given) as session:
        assert state(session) == before


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, "sparse"])
def test_a_reading_may_be_any_kind_of_floating_point_array(kind: Any, tmp_path: Path) -> None:
    session = Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path / "session")
    (look,) = session.suggest()
    given = reading(look).bool().float().requires_grad_()  # whole, so that no kind rounds it
    session.ingest(look, given.to_sparse() if kind == "sparse" else given.to(kind))
    seen = session.observation
    session.close()
    again = Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path / "session")
    assert torch.equal(again.observation.values, seen.values)
