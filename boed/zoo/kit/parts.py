"""Results as a few files of limited size, to be carried from one machine to another."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from boed.completion.samples import samples_path
from boed.foundation.files import atomic
from boed.foundation.options import Existing, OutFolder
from boed.training.checkpoints import running_state
from boed.training.curve import curve_path
from boed.zoo.kit.plan import Member

PART = 16 << 20
"""Bytes of a part, at most."""

MOST_PARTS = 8

NAME = "trained.zip"
"""The archive that is cut into parts, `trained.zip.1` and so on."""

ENDINGS = (".toml", ".safetensors", ".csv", ".png")
"""Of the files that trainings write."""


def write_parts(members: Iterable[Member], out: Path | str, folder: Path | str) -> list[Path]:
    """Write what was trained as an archive in at most 8 parts of at most 16 MiB.

    With its recipes, curves and pictures of samples. Running states, from which a training goes on,
    are left out where they do not fit with the checkpoints.

    Args:
        members: what was trained.
        out: folder of the run.
        folder: where the parts go; parts of an earlier run there are removed.

    Raises:
        ValueError: nothing was trained, or the checkpoints alone do not fit.
    """
    OutFolder().check("parts", folder)
    members, out, folder = list(members), Path(out), Path(folder)
    results = [each.out for each in members if each.out.exists()]
    recipes = {path for each in members for path in each.out.parent.glob("*.toml")}
    states = [running_state(each.out) for each in members]
    states = [path for path in states if path.exists()]
    if not results and not states:
        raise ValueError(f"out: nothing in {out} was trained yet, so there are no parts to write")
    wanted = [*results, *sorted(recipes)]
    for each in members:  # what is looked at
        beside = (curve_path(each.out), samples_path(each.out))
        wanted += [path for path in beside if path.exists()]
    room = MOST_PARTS * PART
    if _bytes([*wanted, *states]) + PART // 2 <= room:  # with room for the archive's own words
        wanted += states
    if _bytes(wanted) + PART // 2 > room:
        raise ValueError(
            f"only: {', '.join(each.name for each in members)} have {_bytes(wanted) >> 20} MiB of "
            f"checkpoints, expected at most {room - PART // 2 >> 20} MiB; ask for fewer models"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for old in parts_in(folder):
        old.unlink()
    with TemporaryDirectory(dir=folder) as scratch:
        whole = Path(scratch) / NAME
        with zipfile.ZipFile(whole, "w") as archive:
            for path in wanted:
                archive.write(path, path.relative_to(out).as_posix())
        written: list[Path] = []
        with whole.open("rb") as file:
            while piece := file.read(PART):
                path = folder / f"{NAME}.{len(written) + 1}"
                with atomic(path) as temporary:
                    temporary.write_bytes(piece)
                written.append(path)
    return written


def join_parts(folder: Path | str, out: Path | str) -> list[Path]:
    """Put parts together again to the folder of a run.

    Args:
        folder: that holds the parts.
        out: the folder of the run; what it has already must be the same.

    Returns:
        The files.

    Raises:
        ValueError: there are no parts, one is missing or damaged, or `out` holds something else.
    """
    Existing(folder=True).check("parts", folder)
    OutFolder().check("out", out)
    found, out = parts_in(Path(folder)), Path(out)
    numbers = [int(path.suffix[1:]) for path in found]
    if not found or numbers != list(range(1, len(found) + 1)):
        raise ValueError(
            f"parts: {folder} holds {', '.join(path.name for path in found) or 'no parts'}, "
            f"expected {NAME}.1 and all that follow"
        )
    with TemporaryDirectory() as scratch:
        whole = Path(scratch) / NAME
        with whole.open("wb") as file:
            for path in found:
                file.write(path.read_bytes())
        try:
            with zipfile.ZipFile(whole) as archive:
                contents = {name: archive.read(name) for name in archive.namelist()}
        except Exception as error:  # a parser of foreign bytes
            raise ValueError(
                f"parts: those in {folder} are damaged or not all there ({error}); copy them again"
            ) from error
    for name, content in contents.items():
        inside = PurePosixPath(name)
        strange = inside.is_absolute() or ".." in inside.parts
        if strange or inside.suffix not in ENDINGS:
            raise ValueError(f"parts: {folder} holds {name!r}, which no training writes")
        if (out / inside).exists() and (out / inside).read_bytes() != content:
            raise ValueError(
                f"out: {out / inside} is another one than in the parts; choose another folder, or "
                "remove it"
            )
    for name, content in contents.items():
        with atomic(out / name) as temporary:
            temporary.write_bytes(content)
    return [out / name for name in contents]


def parts_in(folder: Path) -> list[Path]:
    """The parts in a folder, in order."""
    found = [path for path in folder.glob(f"{NAME}.*") if path.suffix[1:].isdecimal()]
    return sorted(found, key=lambda path: int(path.suffix[1:]))


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)
