"""Attributes of any kind come back as what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from boed.foundation import netcdf
from boed.foundation.netcdf import Schema

SCHEMA = Schema("numbers", {"x": {"row"}})

ATTRIBUTES: dict[str, Any] = {
    "none": None,
    "yes": True,
    "no": False,
    "dict": {"a": [1, {"b": None}], "c": "é"},
    "list": [1, 2],
    "one": ["a"],
    "empty": [],
    "nested": [[1], "b", None],
    "text": "a text",
    "json text": '{"a": 1}',
    "nothing": "",
    "whole": -3,
    "number": 0.25,
}


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("where", ["data set", "variable", "coordinate"])
def test_an_attribute_comes_back(name: str, where: str, tmp_path: Path) -> None:
    data = xr.Dataset({"x": ("row", np.arange(3.0))}, coords={"row": [1, 2, 3]})
    owner = {"data set": data, "variable": data["x"], "coordinate": data["row"]}[where]
    owner.attrs = {name: ATTRIBUTES[name], "other": "stays"}
    netcdf.save(data, tmp_path / "x.nc", SCHEMA)
    again = netcdf.load(tmp_path / "x.nc", SCHEMA)
    xr.testing.assert_identical(again, data)
    read = {"data set": again, "variable": again["x"], "coordinate": again["row"]}[where].attrs
    assert read == owner.attrs
    assert (read[name] is None) == (ATTRIBUTES[name] is None)
    assert isinstance(read[name], bool) == isinstance(ATTRIBUTES[name], bool)
    assert owner.attrs[name] == ATTRIBUTES[name]  # saving changes nothing


def test_what_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    data = xr.Dataset({"x": ("row", np.arange(3.0))}, attrs={"thing": object()})
    with pytest.raises(ValueError, match=r"attributes hold what no file can: .*object"):
        netcdf.save(data, tmp_path / "x.nc", SCHEMA)
    assert not (tmp_path / "x.nc").exists()


def test_files_written_before_are_read(tmp_path: Path) -> None:
    data = xr.Dataset({"x": ("row", np.arange(3.0))}, attrs={"sensor": '{"kind": "Lines"}'})
    data.to_netcdf(tmp_path / "x.nc")
    assert netcdf.load(tmp_path / "x.nc", SCHEMA).attrs["sensor"] == '{"kind": "Lines"}'
