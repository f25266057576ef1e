"""One look-up by name, one "did you mean"."""

from __future__ import annotations

import sys

import pytest

from boed.foundation.registry import Registry, check_known, import_object, names_object


@pytest.fixture
def shapes():
    return Registry(
        "shape",
        {"square": 4},
        lazy={"path": "pathlib:Path"},
        extra="or your own",
    )


def test_names_give_what_they_are_listed_for(shapes):
    from pathlib import Path

    assert shapes["square"] == 4
    assert shapes["path"] is Path
    assert (list(shapes), len(shapes)) == (["square", "path"], 2)
    assert "square" in shapes
    assert "circle" not in shapes
    assert dict(shapes.items()) == {"square": 4, "path": Path}


def test_what_is_lazy_is_imported_when_asked_for(tmp_path, monkeypatch):
    (tmp_path / "heavy_shapes.py").write_text("circle = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    known = Registry("shape", lazy={"circle": "heavy_shapes:circle"})
    assert list(known) == ["circle"]
    assert "heavy_shapes" not in sys.modules
    assert known["circle"] == 1


@pytest.mark.parametrize("given", ["sqare", "SQUARE", "squares"])
def test_the_nearest_name_is_suggested(shapes, given):
    expected = (
        f"shape is {given!r}: did you mean 'square'\\? Expected one of square, path; or your own$"
    )
    with pytest.raises(ValueError, match=expected):
        shapes[given]


@pytest.mark.parametrize("given", ["zzzzz", "", None, 3, "nope", "vase"])
def test_nothing_is_suggested_where_nothing_is_near(given):
    with pytest.raises(ValueError, match=f"split is {given!r}, expected one of train, val$"):
        check_known("split", given, ("train", "val"))
    check_known("split", "val", ("train", "val"))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's folder with modules of their own, from which boed is called."""
    (tmp_path / "my_sensors.py").write_text("class Row:\n    wide = 3\nclass Column: ...\n")
    (tmp_path / "my_broken.py").write_text("import missing_library\n")
    (tmp_path / "my_failing.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    yield tmp_path
    for name in ("my_sensors", "my_broken", "my_failing"):
        sys.modules.pop(name, None)


def test_a_users_own_object_is_found_in_the_working_folder(own):
    assert import_object("my_sensors:Row", argument="sensor").__name__ == "Row"
    assert import_object("my_sensors:Row.wide", argument="sensor") == 3
    assert import_object("pathlib:Path", argument="sensor").__name__ == "Path"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("my_sensors", "sensor is 'my_sensors', expected package.module:Name"),
        ("my_sensors.Row:", "expected package.module:Name"),
        ("my_sensor:Row", "sensor is 'my_sensor:Row': there is no module my_sensor; expected it"),
        ("my_sensors.more:Row", "there is no module my_sensors.more"),
        (
            "my_sensors:Rows",
            "did you mean 'my_sensors:Row'\\? Expected one of my_sensors:Row, my_sens",
        ),
        ("my_broken:Row", "importing my_broken failed: No module named 'missing_library'"),
        ("my_failing:Row", "importing my_failing failed: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_users_object_is_said(own, text, words):
    with pytest.raises(ValueError, match=words):
        import_object(text, argument="sensor")


def test_paths_and_names_are_no_objects():
    assert names_object("a.b:C")
    for text in ("racing", "weights/a.safetensors", "C:/a", r"C:\a", "a:b:c", ":a"):
        assert not names_object(text), text


def test_names_stay_in_their_order_whatever_has_been_asked_for():
    lazy = {"root": "math:sqrt", "floor": "math:floor"}
    functions = Registry("function", {"whole": int}, lazy=lazy)
    assert functions["floor"](2.5) == 2
    assert list(functions) == ["whole", "root", "floor"]
    assert len(functions) == 3
