"""Kinds of options: values from Python; those that are typed are in tests/cli/test_options.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boed.foundation.options import (
    COUNT,
    FRACTION,
    SEED,
    Device,
    Existing,
    Kind,
    Names,
    Number,
    OneOf,
    OutFile,
    OutFolder,
    SensorTable,
    Spelled,
    Switch,
    Text,
    split_names,
)

PICTURE = OutFile(endings=(".png",))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (COUNT, 1),
        (COUNT, np.int64(7)),
        (SEED, 2**63 - 1),
        (FRACTION, 1),
        (FRACTION, np.float32(0.5)),
        (Number(above=0, finite=False), math.inf),
        (Text(), Path("a")),
        (OneOf(("a", "b")), "b"),
        (OneOf("boed.data.labels:SPLITS"), "val"),
        (Spelled("boed.data.masks:named"), "top:3"),
        (Names(), "a, b"),
        (Names(), ["a", "b"]),
        (SensorTable(), {"name": "patch", "grid": 3}),
        (Switch(), True),
        (Device(), "cpu"),
        (OutFolder(), "new/folder"),
        (OutFolder(), "there"),
        (PICTURE, "new/PICTURE.PNG"),
        (Existing(folder=True), "there"),
    ],
)
def test_what_is_expected(
    kind: Kind, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    kind.check("it", value)
    assert [str(each) for each in tmp_path.iterdir()] == [str(tmp_path / "there")]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (COUNT, 0, "it is 0, expected at least 1"),
        (COUNT, np.True_, "expected a whole number"),
        (COUNT, 2.0, r"it is 2\.0, expected a whole number"),
        (COUNT, None, "it is None, expected a whole number"),
        (SEED, 2**63, f"it is {2**63}, expected at most {2**63 - 1}"),
        (FRACTION, math.nan, "it is nan, expected more than 0"),
        (FRACTION, 1.5, r"it is 1\.5, expected at most 1"),
        (Number(), math.nan, "it is nan, expected a finite number"),
        (Number(finite=False), math.nan, "it is nan, expected a finite number"),
        (Number(above=0), -math.inf, "it is -inf, expected more than 0"),
        (Text(), " ", "it is ' ', expected text that is not empty"),
        (Text(), b"a", "it is b'a', expected text"),
        (Spelled("boed.data.masks:named"), "tpo", r"it is 'tpo': did you mean 'top'\?"),
        (Spelled("boed.data.masks:named"), "top:x", "it top:x: rows is 'x', expected a whole"),
        (Spelled("boed.data.masks:named"), 3, "it is 3, expected text"),
        (Names(), [], "it is empty, expected at least one name"),
        (Names(), ["a", "a"], "it: a stands there twice, expected once"),
        (Names(), {"a": 1}, "expected names, with commas between or as a list"),
        (Device(), "cuda:1000", "it is 'cuda:1000', but torch sees . GPUs; expected cpu"),
        (OutFolder(), "/dev/null/a", "it is '/dev/null/a', but /dev/null is a file"),
        (PICTURE, "a.pdf", r"it is 'a\.pdf', expected a file that ends in \.png to write"),
        (PICTURE, "/", "it is '/', which is a folder, expected a file to write"),
        (Existing(), "/", "it is '/', which is a folder, expected a file"),
        (Existing(folder=True), "/dev/null", "it is '/dev/null', which is a file, expected a fo"),
    ],
)
def test_what_is_refused(kind: Kind, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message}"):
        kind.check("it", value)


def test_names_with_commas_between() -> None:
    assert split_names(" a, b ") == split_names(["a", "b"]) == ["a", "b"]
    assert split_names(" ") == []
    for gap in ("a,,b", "a,", ",a", ","):
        with pytest.raises(ValueError, match="one of policies is ''"):
            Names().check("policies", gap)
