"""Changes to files: of any bytes, and of the structures that formats are made of."""

from __future__ import annotations

import io
import json
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ODD: tuple[Any, ...] = (
    *(None, True, "", "text", "1e999", "../..", "\x00", "é" * 300, [], {}, [[]], [None], {"a": 1}),
    *(0, -1, 1, 2, 7, 255, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), "nan", [1, "a"], [10**9] * 3, "32x10", "9" * 50),
)
"""Values that a reader may not expect."""


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def of_bytes(rng: random.Random, content: bytes) -> bytes:
    """Some bytes flipped, set, cut out, doubled, or cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if not changed:
            break
        where = rng.randrange(len(changed))
        length = rng.choice((1, 2, 4, 8, 64))
        kind = rng.randrange(6)
        if kind == 0:
            changed[where] ^= 1 << rng.randrange(8)
        elif kind == 1:
            number = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, rng.randrange(1 << 32)))
            changed[where : where + 4] = struct.pack(rng.choice("<>") + "I", number)
        elif kind == 2:
            del changed[where : where + length]
        elif kind == 3:
            changed[where:where] = changed[where : where + length]
        elif kind == 4:
            changed[where : where + length] = rng.randbytes(length)
        else:
            del changed[where:]
    return bytes(changed)


def of_value(rng: random.Random, value: Any) -> Any:
    """JSON's or TOML's values with one of them exchanged, left out or put in anywhere."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        changed = dict(value)
        key = rng.choice(list(changed))
        kind = rng.random()
        if kind < 0.1:
            del changed[key]
        elif kind < 0.2:
            changed[rng.choice(("new", "", "kind", "ä"))] = changed.pop(key)
        else:
            changed[key] = of_value(rng, changed[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.7:
        items = list(value)
        where = rng.randrange(len(items))
        items[where] = of_value(rng, items[where])
        return items if rng.random() < 0.8 else items * 3
    if isinstance(value, str) and value and rng.random() < 0.3:
        return of_bytes(rng, value.encode()).decode(errors="replace")
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.3:
        return value * rng.choice((-1, 0, 2, 10, 10**6)) + rng.choice((0, 1))
    return rng.choice((*ODD, deep(30)))


def of_json(rng: random.Random, content: bytes) -> bytes:
    """A JSON text with another value, or nested beyond what parsers go into."""
    if rng.random() < 0.05:
        return b'{"a": ' + b"[" * 100_000
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 3))):
        value = of_value(rng, value)
    return json.dumps(value).encode()


def of_toml(rng: random.Random, content: bytes) -> bytes:
    """A TOML text with another value, line or bytes."""
    lines = content.decode().splitlines()
    where = rng.randrange(len(lines))
    key, equals, _ = lines[where].partition("=")
    kind = rng.random()
    if kind < 0.6 and equals:
        value = rng.choice((*ODD, deep(30)))
        lines[where] = f"{key} = {json.dumps(value)}"
    elif kind < 0.7:
        lines.insert(where, rng.choice(lines))
    elif kind < 0.8:
        del lines[where]
    elif kind < 0.82:
        lines[where] = "a = " + "[" * 20_000
    else:
        return of_bytes(rng, content)
    return "\n".join(lines).encode(errors="surrogatepass")


def of_csv(rng: random.Random, content: bytes) -> bytes:
    """A CSV text with another cell, column or line."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(rng.choice((1, 2))):
        row = rng.choice(rows)
        where = rng.randrange(len(row))
        kind = rng.randrange(5)
        if kind == 0:
            row[where] = str(rng.choice(ODD))
        elif kind == 1:
            row.insert(where, rng.choice(row))
        elif kind == 2:
            del row[where]
        elif kind == 3:
            rows.append(list(row))
        else:
            row[where] = rng.choice(rng.choice(rows) or [""])
        rows = [each for each in rows if each] or [[""]]
    return "\n".join(",".join(row) for row in rows).encode(errors="replace")


def of_safetensors(rng: random.Random, content: bytes) -> bytes:
    """A checkpoint whose header, or what boed keeps in it, is another."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    if rng.random() < 0.8:
        ours = of_json(rng, header["__metadata__"]["boed"].encode()).decode()
        header["__metadata__"]["boed"] = ours
        text = json.dumps(header).encode()
    else:
        text = of_json(rng, json.dumps(header).encode())
    return struct.pack("<Q", len(text)) + text + data


def of_array(rng: random.Random, array: np.ndarray) -> np.ndarray:
    """Another array in its place: of other type, shape or values."""
    kind = rng.randrange(7)
    if kind == 0:
        types = (np.uint8, np.int64, np.float32, np.float64, bool, "S4", "U4", complex, "M8[s]")
        with np.errstate(all="ignore"):
            try:
                return array.astype(rng.choice(types))
            except (ValueError, TypeError):
                return np.array("text")
    if kind == 1:
        return array.reshape(-1) if array.ndim != 1 else array[:, None]
    if kind == 2:
        return array[..., None]
    if kind == 3:
        return array[: rng.randrange(3)] if array.ndim else np.zeros((3, 3))
    if kind == 4 and array.dtype.kind in "iuf" and array.size:
        changed = array.astype(np.float64)
        changed.reshape(-1)[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -1, 1e9, 0.5))
        return changed
    if kind == 5:
        return np.array(rng.choice((0, "text", 1.5)))
    return np.empty((0, *array.shape[1:]), array.dtype)


def of_npz(rng: random.Random, content: bytes) -> bytes:
    """An npz with another array, with an array of other bytes, or other bytes in its directory."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = rng.choice(list(members))
    kind = rng.random()
    if kind < 0.4:
        buffer = io.BytesIO()
        np.save(buffer, of_array(rng, np.load(io.BytesIO(members[name]))))
        members[name] = buffer.getvalue()
    elif kind < 0.8:
        header, rest = members[name][:128], members[name][128:]
        members[name] = of_bytes(rng, header) + rest
    elif kind < 0.9:
        members[rng.choice(("x.npy", "x", "../x.npy"))] = members.pop(name)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as file:
        for name, member in members.items():
            file.writestr(name, member)
    whole = written.getvalue()
    if kind < 0.9:
        return whole
    directory = whole.index(b"PK\x01\x02")
    return whole[:directory] + of_bytes(rng, whole[directory:])


def of_chunks(rng: random.Random, content: bytes) -> bytes:
    """A PNG with another byte in a chunk whose checksum is right all the same."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    where = rng.randrange(len(chunks))
    name, data = chunks[where]
    kind = rng.random()
    if kind < 0.7:
        chunks[where] = (name, of_bytes(rng, data))
    elif kind < 0.8:
        chunks.insert(where, rng.choice(chunks))
    elif kind < 0.9:
        del chunks[where]
    else:
        chunks[where] = (rng.choice((b"tRNS", b"acTL", b"PLTE", b"gAMA", b"iCCP", b"eXIf")), data)
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return content[:8] + b"".join(parts)


def of_dicom(rng: random.Random, content: bytes) -> bytes:
    """A DICOM file with another or an empty value of an element, as pydicom writes it."""
    import pydicom

    header = pydicom.dcmread(io.BytesIO(content))
    for _ in range(rng.choice((1, 2))):
        element = rng.choice(list(header))
        values = (None, "", 0, 1, -1, 8, 16, 65535, 1e308, "abc", [1, 2, 3], b"x", b"\x00" * 9)
        try:
            element.value = rng.choice(values)
        except Exception:  # pydicom does not write everything
            del header[element.tag]
    written = io.BytesIO()
    try:
        header.save_as(written)
    except Exception:
        return of_bytes(rng, content)
    return written.getvalue()


def of_netcdf(rng: random.Random, content: bytes) -> bytes:
    """A netCDF file with another variable, dimension or attribute."""
    import xarray as xr

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.nc")
        path.write_bytes(content)
        dataset = xr.load_dataset(path, engine="netcdf4")
        name = rng.choice(list(dataset.variables))
        kind = rng.randrange(6)
        variable = dataset[name].variable
        if kind == 0:
            dataset = dataset.drop_vars(name)
        elif kind == 1:
            dataset = dataset.rename({name: rng.choice(("x", "label", "design"))})
        elif kind == 2:
            dataset = dataset.drop_vars(name)
            array = of_array(rng, variable.values)
            dataset[name] = ([f"d{axis}" for axis in range(array.ndim)], array)
        elif kind == 3:
            changed = of_array(rng, variable.values)
            if changed.shape == variable.shape and name not in dataset.dims:
                dataset[name] = (variable.dims, changed)
        elif kind == 4:
            dataset = dataset.isel({rng.choice(list(dataset.dims)): slice(rng.randrange(2))})
        else:
            odd = rng.choice([each for each in ODD if isinstance(each, str | int | float)])
            dataset.attrs[rng.choice(("n", "scenes", "data", "units"))] = str(odd)
        dataset.to_netcdf(path, engine="netcdf4")
        return path.read_bytes()


Mutation = Callable[[random.Random, bytes], bytes]
