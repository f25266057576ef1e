"""Fingerprints differ where content does, and only there."""

from __future__ import annotations

import copy
import importlib
import linecache
import sys
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from boed.classifiers import DenseNetClassifier, DenseNetConfig
from boed.foundation.fingerprint import fingerprint, of_function, of_source


class Named:
    def __init__(self, **content: Any) -> None:
        vars(self).update(content)

    def method(self) -> None:
        """Something to bind."""

    @cached_property
    def worked_out(self) -> Any:
        return lambda: self


def adder(number: int) -> Any:
    return lambda other: number + other


@dataclass
class Bounded:
    content: int
    memory: int = field(compare=False)


def test_fields_that_do_not_compare_are_no_content() -> None:
    assert fingerprint(Bounded(1, 2)) == fingerprint(Bounded(1, 3))
    assert fingerprint(Bounded(1, 2)) != fingerprint(Bounded(2, 2))


EXAMPLES: list[tuple[Any, Any]] = [
    (1, 2),
    (1, 1.0),
    (1, True),
    ("a", "b"),
    ("1", 1),
    (None, "None"),
    ((1, 2), [1, 2]),
    ((1, (2, 3)), ((1, 2), 3)),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"b": 1}),
    (np.array(["p1", "p2"]), np.array(["p1", "p3"])),
    (np.array([["p1", "p2"]]), np.array(["p1", "p2"])),
    (torch.zeros(2, 3), torch.zeros(3, 2)),
    (torch.zeros(2), torch.zeros(2, dtype=torch.long)),
    (torch.zeros(2), torch.tensor([0.0, 1e-30])),
    (np.zeros(2), np.ones(2)),
    (torch.tensor(1), torch.tensor(2)),
    (Named(a=1), Named(a=2)),
    (Named(a=1), SimpleNamespace(a=1)),
    (nn.ReLU(), nn.Sigmoid()),
    (nn.Sequential(nn.ReLU()), nn.Sequential(nn.Sigmoid())),
    (nn.Sequential(nn.Dropout(0.1)), nn.Sequential(nn.Dropout(0.2))),
    (torch.eye(3).to_sparse(), (2 * torch.eye(3)).to_sparse()),
    (lambda: 1, lambda: 2),
    (lambda x: x[..., 0], lambda x: x[..., 1]),
    (lambda x: x in {"a", "b"}, lambda x: x in {"a", "c"}),
    (frozenset({"a", "b"}), frozenset({"a", "c"})),
    (slice(1, 2), slice(1, 3)),
    (..., None),
    (adder(1), adder(2)),
    (Named(f=len), Named(f=print)),
    (Named(f=Named(a=1).method), Named(f=Named(a=2).method)),
    (torch.device("cpu"), "cpu"),
]


@pytest.mark.parametrize(("one", "other"), EXAMPLES)
def test_differs_where_content_does(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(copy.deepcopy(one))


def test_memory_layout_is_no_content() -> None:
    tensor = torch.randn(3, 4)
    assert fingerprint(tensor) == fingerprint(tensor.T.contiguous().T)


def test_a_classifier_is_its_weights_calibration_and_precision() -> None:
    config = DenseNetConfig(
        size=8, channels=1, outputs=2, stem=2, growth=(4,), layers=(1,), width=4
    )
    torch.manual_seed(0)
    model = DenseNetClassifier(config, ("no", "yes"))
    before = fingerprint(model)
    assert fingerprint(copy.deepcopy(model)) == before
    model._loaded = True
    loaded = fingerprint(model)
    _ = model._inference  # worked out, no content
    assert fingerprint(model) == loaded
    model.precision = "bf16"
    assert fingerprint(model) != loaded
    model.precision = "fp32"
    model.temperatures[0] = 2.0
    assert fingerprint(model) != loaded


def test_what_was_worked_out_is_no_content() -> None:
    thing = Named(a=1)
    before = fingerprint(thing)
    assert callable(thing.worked_out)
    assert fingerprint(thing) == before


@pytest.mark.parametrize("thing", [object(), (1, iter([1])), Named(f=object()), sys, iter([1])])
def test_refuses_what_it_cannot_read(thing: Any) -> None:
    with pytest.raises(TypeError, match="cannot read"):
        fingerprint(thing)


MODULE = """
import functools
import math

import torch

import users_helpers
from users_helpers import scaled

NOISE = {noise}
SITES = [0.0, {site}]
WEIGHTS = torch.tensor([{weight}])
UNUSED = {unused}


class Settings:
    def __init__(self):
        self.gain = {gain}


SETTINGS = Settings()
halved = functools.partial(scaled, by={by})


def helper(x):
    return x * SITES[1] + (model(x - 1) if x > 0 else 0)  # which calls back


@functools.cache
def kept(x):
    return x + {kept}


def model(x):
    inner = lambda y: y * NOISE
    shifted = [y + WEIGHTS for y in (x,)]
    seen = inner(helper(x)) + shifted[0] + SETTINGS.gain
    return seen + halved(x) + kept(1) + users_helpers.other(x)


class Base:
    def base(self):
        return {base} * NOISE


class Sensor(Base):
    @property
    def width(self):
        return SITES[1]

    @staticmethod
    def look(x):
        return math.sqrt(x) + SETTINGS.gain
"""
HELPERS = (
    "def scaled(x, by):\n    return {scaled} * x * by\n\ndef other(x):\n    return x + {other}\n"
)
VALUES = {
    **{"noise": 1, "site": 1, "weight": 1, "unused": 1, "gain": 1, "by": 1, "kept": 1, "base": 1},
    **{"scaled": 1, "other": 1},
}
OF_MODEL = {"noise", "site", "weight", "gain", "by", "kept", "scaled", "other"}
OF_SENSOR = {"noise", "site", "gain", "base"}


@pytest.fixture
def written(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a user's module and what it imports with some values, and imports it anew."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(**values: int) -> Any:
        texts = {"users_helpers": HELPERS, "users_module": MODULE}
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text.format(**VALUES | values))
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        linecache.clearcache()
        return importlib.import_module("users_module")

    return write


@pytest.mark.parametrize("value", VALUES)
def test_a_users_code_is_what_it_reads_of_its_module(written: Any, value: str) -> None:
    """Constants, helpers, classes and modules count, and what is not read does not."""

    def summed(module: Any) -> dict[str, set[str]]:
        return {
            "model": {of_function(module.model), fingerprint(module.model)},
            "sensor": {fingerprint(module.Sensor()), fingerprint(module.Sensor)},
        }

    before, again, changed = summed(written()), summed(written()), summed(written(**{value: 2}))
    assert before == again
    assert before["model"].isdisjoint(changed["model"]) == (value in OF_MODEL)
    assert before["sensor"].isdisjoint(changed["sensor"]) == (value in OF_SENSOR)
    assert (before == changed) == (value not in OF_MODEL | OF_SENSOR)


def test_refuses_what_holds_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeError, match="holds itself"):
        fingerprint(loop)


def test_source(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    package = tmp_path / "made_up_package"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = of_source("made_up_package")
    (package / "__init__.py").write_text("a = 2\n")
    assert of_source("made_up_package") != before
    with pytest.raises(TypeError, match="not installed"):
        of_source("made_up_package_that_is_not_there")
