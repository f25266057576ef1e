"""A folder of image files, labelled by a CSV file or by the names of subfolders."""

from __future__ import annotations

import csv
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from boed.data.dataset import Dataset, not_whole
from boed.data.labels import SPLITS, absent_or_present, check_split, deal, split_of, with_any
from boed.data.polarity import unlike_the_others
from boed.data.readers.image import SUFFIXES, picture_size, read_image
from boed.foundation.memory import check_memory

_NOT_FINDINGS = ("file", "split", "patient")
_MASK = ".mask.png"


@dataclass(frozen=True)
class _Row:
    """One image: its file, its label (class or findings), and what is known of it."""

    file: Path
    label: str | tuple[int, ...]
    split: str
    patient: str | None = None
    identity: str | None = None  # by which the split was dealt; None where it was stated


def read_folder(
    folder: str | Path,
    size: int | None = None,
    split: str = "test",
    *,
    labels: str | Path | None = None,
    channels: int = 1,
    pad: bool = False,
) -> Dataset:
    """One split of a folder of images.

    With a CSV file (`labels`, or `labels.csv` in the folder): a column `file`, then either a column
    `label` with class names or numbers, or a 0/1 column for each finding; optionally `split` and
    `patient`. Without: `{split}/{class}/...` or `{class}/...`; images in no class folder are all of
    class "unknown". Where no split is given it is 80/10/10 by patient, or else by file name; in a
    small folder, where one of the three would get nothing, at least one of each. Pictures that
    look inverted beside the others, ones of 12 bits stored as 16, and ones that the CSV file does
    not name are told of in a warning. `NAME.mask.png` beside `NAME.png` is no picture of the set,
    but says what was seen of one (`boed.data.readers.incomplete`).

    Args:
        folder: where the images are, at any depth.
        size: width in pixels; if not given the images of all splits must have one common size.
        split: `train`, `val` or `test`.
        labels: the CSV file.
        channels: 1 for grey, 3 for colour.
        pad: make images square by black borders rather than by cutting.

    Raises:
        ValueError: an image, the CSV file or a line of it is not as expected, the split is empty,
            or a picture has a mask. The message names the file and the line.
    """
    root = Path(folder)
    rows, chosen, findings = _rows(root, split, labels)
    masks = [mask_of(row.file) for row in chosen if mask_of(row.file).is_file()]
    if masks:
        raise not_whole(root, f"pictures with masks such as {masks[0].relative_to(root)}")
    if size is None:
        _check_one_size(rows)
    numbers, names = _encode(rows, chosen, findings)
    patients = [row.patient for row in chosen]
    return Dataset(
        name=root.resolve().name,
        split=split,
        images=_images(chosen, size, channels, pad),
        labels=torch.from_numpy(numbers),
        label_names=names,
        patients=None if None in patients else np.array(patients),
    )


def pictures_of(folder: str | Path, split: str) -> list[Path]:
    """The files of the pictures that `read_folder` reads, in its order.

    Raises:
        ValueError: as `read_folder` does of the folder and the CSV file.
    """
    return [row.file for row in _rows(Path(folder), split, None)[1]]


def mask_of(picture: Path) -> Path:
    """Where a mask stands that says what was seen of a picture: `NAME.mask.png` beside it."""
    return picture.with_suffix(_MASK)


def _rows(
    root: Path, split: str, labels: str | Path | None
) -> tuple[list[_Row], list[_Row], tuple[str, ...]]:
    """All rows, those of a split, and the findings' names if labels are 0/1 columns."""
    check_split(split)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder")
    table = Path(labels) if labels is not None else root / "labels.csv"
    findings: tuple[str, ...] = ()
    if labels is not None or table.is_file():
        rows, findings = _rows_of_table(table, root)
    else:
        rows = _rows_of_folders(root)
    rows = _no_split_empty(rows)
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        raise ValueError(f"{root}: none of its {len(rows)} images is in split {split!r}")
    return rows, chosen, findings


def _rows_of_folders(root: Path) -> list[_Row]:
    files = _pictures(root)
    if not files:
        raise ValueError(f"{root} has no image; expected {', '.join(SUFFIXES)}")
    inner = [file.relative_to(root).parts[:-1] for file in files]
    by_split = all(parts and parts[0] in SPLITS for parts in inner)
    classes = [parts[by_split] if len(parts) > by_split else "" for parts in inner]
    if "" in classes and any(classes):
        stray = files[classes.index("")]
        raise ValueError(f"{stray} is in no class folder but other images are; move it into one")
    return [
        _Row(
            file,
            label or "unknown",
            parts[0] if by_split else split_of(file.relative_to(root).as_posix()),
            identity=None if by_split else file.relative_to(root).as_posix(),
        )
        for file, parts, label in zip(files, inner, classes, strict=True)
    ]


def _pictures(root: Path) -> list[Path]:
    """The image files of a folder, at any depth, but for masks beside the picture they are of."""
    files = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    masks = {mask_of(path) for path in files}
    return [path for path in files if path not in masks]


def _rows_of_table(table: Path, root: Path) -> tuple[list[_Row], tuple[str, ...]]:
    """The rows of a CSV file, and the findings' names if its labels are 0/1 columns."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, skipinitialspace=True)
            columns = tuple(reader.fieldnames or ())
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} cannot be read as CSV ({error})") from error
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise ValueError(f"{table}: column {twice!r} is there {columns.count(twice)} times")
    if "file" not in columns or not lines:
        raise ValueError(
            f"{table}: expected a header with a column 'file' and at least one line, "
            f"found columns {', '.join(columns) or 'none'} and {len(lines)} lines"
        )
    findings = () if "label" in columns else tuple(c for c in columns if c not in _NOT_FINDINGS)
    if "label" not in columns and not findings:
        raise ValueError(f"{table}: expected a column 'label' or 0/1 columns, found neither")
    rows = [_row(table, root, number, line, findings) for number, line in lines]
    _check_files(table, rows, [number for number, _ in lines])
    _check_patients(table, rows)
    _warn_of_others(table, rows, root)
    return rows, findings


def _row(
    table: Path, root: Path, number: int, line: dict[str, str | None], findings: tuple[str, ...]
) -> _Row:
    here = f"{table}, line {number}"
    if None in line:  # where csv puts what is beyond the last column
        raise ValueError(
            f"{here}: more fields than the {len(line) - 1} columns; put text with commas in quotes"
        )
    values = {column: (value or "").strip() for column, value in line.items()}
    file = _file(root, values["file"], here)
    for finding in findings:
        if values[finding] not in ("0", "1"):
            raise ValueError(f"{here}: {finding!r} is {values[finding]!r}, expected 0 or 1")
    label: str | tuple[int, ...] = tuple(int(values[finding]) for finding in findings)
    if not findings:
        label = values["label"]
        if not label:
            raise ValueError(f"{here}: the label is empty")
    patient = values.get("patient") or None
    identity = None if values.get("split") else patient or Path(values["file"]).as_posix()
    split = values["split"] if identity is None else split_of(identity)
    if split not in SPLITS:
        raise ValueError(f"{here}: split is {split!r}, expected {', '.join(SPLITS)}")
    return _Row(file, label, split, patient, identity)


def _file(root: Path, name: str, here: str) -> Path:
    """The picture that a line names."""
    file = Path(os.path.normpath(root / name))
    if not file.is_relative_to(os.path.normpath(root)):
        raise ValueError(f"{here}: {name!r} lies outside of {root}")
    try:
        there = bool(name) and file.is_file()
    except (OSError, ValueError) as error:  # no name that a file can have
        raise ValueError(f"{here}: {name!r} cannot be a file ({error})") from error
    if not there:
        raise ValueError(f"{here}: there is no file {file}")
    return file


def _no_split_empty(rows: list[_Row]) -> list[_Row]:
    """The rows with at least one patient or file in each split, where there are three."""
    identities = {row.identity for row in rows}
    if None in identities:
        return rows
    dealt = deal(map(str, identities))
    return [replace(row, split=dealt[str(row.identity)]) for row in rows]


def _check_files(table: Path, rows: list[_Row], numbers: list[int]) -> None:
    """Refuse a picture on two lines, by whichever path."""
    first: dict[Path, tuple[int, _Row]] = {}
    for number, row in zip(numbers, rows, strict=True):
        before, same = first.setdefault(row.file.resolve(), (number, row))
        if same is row:
            continue
        differs = "the same"
        if same.label != row.label:
            differs = f"label {same.label!r} there and {row.label!r} here"
        elif same.split != row.split:
            differs = f"in {same.split} there and in {row.split} here"
        raise ValueError(
            f"{table}, line {number}: {row.file.name} stands on line {before} already, {differs}; "
            "expected each picture once"
        )


def _warn_of_others(table: Path, rows: list[_Row], root: Path) -> None:
    """Tell of pictures in the folder that no line names."""
    named = {row.file.resolve() for row in rows}
    others = [file for file in _pictures(root) if file.resolve() not in named]
    if others:
        warnings.warn(
            f"{len(others)} of the pictures in {root} are left out, as {table} does not name them "
            f"({others[0].relative_to(root)} is the first)",
            stacklevel=5,
        )


def _check_patients(table: Path, rows: list[_Row]) -> None:
    home: dict[str, str] = {}
    for row in rows:
        if row.patient and home.setdefault(row.patient, row.split) != row.split:
            raise ValueError(
                f"{table}: patient {row.patient!r} is in {home[row.patient]} and in {row.split}; "
                "expected every patient in one split only"
            )


def _check_one_size(rows: list[_Row]) -> None:
    """Refuse pictures of different sizes, in whichever splits they are."""
    first = rows[0].file
    expected = picture_size(first)
    for row in rows[1:]:
        here = picture_size(row.file)
        if here != expected:
            raise ValueError(
                f"{first} is {expected[0]} x {expected[1]} pixels, {row.file} is {here[0]} x "
                f"{here[1]}; a data set has one size: give `size`, the width to resize them to"
            )


def _encode(
    rows: list[_Row], chosen: list[_Row], findings: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of the chosen rows as numbers. Classes are those of all splits, in order."""
    if len(findings) > 1:
        return with_any(np.array([row.label for row in chosen], np.int64), findings)
    if findings:
        present = np.array([int(row.label[0]) for row in chosen], np.int64)
        return present, absent_or_present(findings[0])
    names = sorted({str(row.label) for row in rows}, key=_number_first)
    return np.array([names.index(str(row.label)) for row in chosen], np.int64), tuple(names)


def _number_first(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdecimal() else (1 << 62, label)


def _images(rows: list[_Row], size: int | None, channels: int, pad: bool) -> torch.Tensor:
    images: list[torch.Tensor] = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for row in rows:
            image = read_image(row.file, size, channels, pad=pad)
            if not images:
                side = image.shape[-1]
                what = f"{len(rows)} pictures of {side} x {side} pixels"
                check_memory(what, 2.0 * len(rows) * image.numel())
            images.append(image)
    if said:
        others = f" (and {len(said) - 1} warnings of others)" if len(said) > 1 else ""
        warnings.warn(f"{said[0].message}{others}", said[0].category, stacklevel=3)
    pictures = torch.stack(images)
    found = unlike_the_others(pictures).nonzero().flatten().tolist()
    if found:
        warnings.warn(
            f"{len(found)} of {len(rows)} pictures look inverted, dark where the others are bright "
            f"({rows[found[0]].file} is the first): exchange their black and white",
            stacklevel=3,
        )
    return pictures
