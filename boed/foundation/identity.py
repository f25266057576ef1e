"""Whose results a folder holds: what they were made of, recorded and compared.

The identity of a run is a fingerprint of the content of everything that changes its results. A
folder belongs to the first run that claims it; another one is refused, with what differs.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boed.foundation.files import load_weights, save_weights, write_json
from boed.foundation.fingerprint import fingerprint

if TYPE_CHECKING:
    from torch import Tensor

RECORD = "run.json"
"""The file of a run's folder that says whose it is."""

RESULTS = "results.nc"
"""The file of a run's folder that holds what came out."""

SETTINGS = "run.toml"
"""The file of a run's folder that holds its settings, to be run again."""

PARTS = "parts"
"""The folder in a run's folder that holds what was finished of it."""

ELSEWHERE = "give another folder as `out`, or remove that one"
"""What to do about a folder of something else."""

PICTURE_RECORD = "boed"
"""The key under which a PNG says what it shows."""

DIGITS = 16
"""Of a fingerprint that are shown and compared."""


def identity(thing: object) -> str:
    """The class of a thing and a fingerprint of its content.

    Of a thing whose content cannot be read, such as one that holds an open file, it is another one
    each time: what was made of it is never taken for what is made of something else.
    """
    try:
        return f"{type(thing).__qualname__} {fingerprint(thing)[:DIGITS]}"
    except Exception as error:  # whatever a user's part raises when it is read
        return f"{type(thing).__qualname__} {uuid.uuid4().hex[:DIGITS]} ({error})"


def claim(
    folder: Path, kind: str, content: Mapping[str, Any], *, grows: Sequence[str] = ()
) -> bool:
    """Make a folder the home of a run, or make sure that it already is.

    Args:
        folder: of the run; it is created.
        kind: of run, such as `benchmark`.
        content: what a run of this kind is: `identity` and `settings`, as JSON holds them.
        grows: parts of the content to which more may be added, such as `completers`: results with
            more of them hold those that are there.

    Returns:
        Whether the folder was this run's before.

    Raises:
        ValueError: see `check_claim`.
    """
    before = check_claim(folder, kind, content, grows=grows)
    ours: dict[str, Any] = json.loads(json.dumps({"kind": kind, **content}))
    if not before or read_record(folder) != ours:
        write_json(folder / RECORD, ours)
    return before


_PART = "evaluation"
"""What the header of a stored part calls it."""


def stored_part(path: Path | None, identity: str | None) -> dict[str, Tensor] | None:
    """What `store_part` wrote; None where that is nothing, damaged, or made of something else."""
    if path is None or not path.exists():
        return None
    try:
        tensors, header = load_weights(path, _PART)
    except ValueError:
        return None  # damaged: made anew
    return tensors if header.get("of") == identity else None  # of others: made anew, and replaced


def store_part(path: Path | None, tensors: dict[str, Tensor], identity: str | None) -> None:
    """Store a finished part of a run in its folder, if it has one.

    Args:
        path: of the part, in `PARTS` of the run's folder.
        tensors: what came out.
        identity: fingerprint of all that it was made of.

    Raises:
        OSError: it cannot be written.
    """
    if path is not None:
        save_weights(path, tensors, {"kind": _PART, "of": identity})


def check_claim(
    folder: Path, kind: str, content: Mapping[str, Any], *, grows: Sequence[str] = ()
) -> bool:
    """Whether a folder holds a run already, which has to be this one; nothing is written.

    A run that ended before anything of it was finished does not keep its folder.

    Args:
        folder, kind, content, grows: see `claim`.

    Raises:
        ValueError: it holds another run, one of another kind, results of which nothing is known,
            a damaged description, or files of something else than a run.
    """
    check_home(folder)
    if not (folder / RECORD).exists() or is_bare(folder):
        return False
    ours: dict[str, Any] = json.loads(json.dumps({"kind": kind, **content}))
    theirs = read_record(folder)
    if theirs["kind"] != kind:
        raise ValueError(
            f"out: {folder} holds a run of another kind, {theirs['kind']!r}, not {kind!r}; "
            f"{ELSEWHERE}"
        )
    theirs = {part: _grown(there, ours.get(part), grows) for part, there in theirs.items()}
    check_same(f"out: {folder} holds a run with other settings", theirs, ours, advice=ELSEWHERE)
    return True


def _grown(there: Any, ours: Any, names: Sequence[str]) -> Any:
    """A part of a description with what is asked for now added to the entries that may grow."""
    if not isinstance(there, dict) or not isinstance(ours, dict):
        return there
    more = {
        name: ours[name] | there[name]
        for name in names
        if isinstance(there.get(name), dict) and isinstance(ours.get(name), dict)
    }
    return {**there, **more}


def check_home(folder: Path, name: str = "out") -> None:
    """Refuse a folder that holds something else than a run: somebody's files.

    Args:
        folder: which may not be there yet.
        name: what it was given as.

    Raises:
        ValueError: naming a file of it, or its damaged description.
    """
    if (folder / RECORD).exists():
        try:
            read_record(folder, name)
        except ValueError as error:
            raise ValueError(f"{error}; {ELSEWHERE}") from error
    elif folder.is_dir():
        ours = (SETTINGS, f".{RECORD}.")  # settings to run, or a record whose writing was killed
        files = sorted(each.name for each in folder.iterdir() if not each.name.startswith(ours))
        if files:
            others = f" and {len(files) - 1} more" if len(files) > 1 else ""
            raise ValueError(
                f"{name}: {folder} holds {files[0]!r}{others}, but no {RECORD}, so it is not the "
                f"folder of a run; {ELSEWHERE}"
            )


def claim_picture(
    path: Path, kind: str, content: Mapping[str, Any], *, name: str = "out"
) -> dict[str, str]:
    """Make sure that a picture is not there yet, or shows the very same.

    What a PNG shows is recorded inside; of other formats nothing is known, and they are never
    written over.

    Args:
        path: of the picture.
        kind: of picture, such as `sheet`.
        content: what it shows: names and settings, as JSON holds them.
        name: what the path, or its folder, was given as.

    Returns:
        What is to be recorded inside, as matplotlib's `savefig` takes it as `metadata`.

    Raises:
        ValueError: there is another picture, or a file of which nothing is known.
    """
    ours = {"kind": kind, **content}
    advice = f"give another one as `{name}`, or remove that file"
    if path.exists():
        theirs = _picture_record(path)
        if theirs is None:
            raise ValueError(f"{name}: {path} exists and was not written by boed; {advice}")
        check_same(f"{name}: {path} shows something else", theirs, ours, advice=advice)
    return {PICTURE_RECORD: json.dumps(ours)} if path.suffix.lower() == ".png" else {}


def _picture_record(path: Path) -> dict[str, Any] | None:
    """What a picture says of itself; None if that is nothing."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            record = json.loads(picture.info[PICTURE_RECORD])
    except (OSError, ValueError, KeyError, SyntaxError, TypeError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def check_same(
    what: str, theirs: Mapping[str, Any], ours: Mapping[str, Any], *, advice: str
) -> None:
    """Refuse what was made of something else than now.

    Args:
        what: where it is, and that it is another one.
        theirs, ours: what it is of, and what is asked for now, as JSON holds them.
        advice: what to do.

    Raises:
        ValueError: naming the first thing that differs, and both.
    """
    ours = json.loads(json.dumps(ours))
    differing = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    if differing:
        name, there, now = _difference(differing[0], theirs, ours)
        raise ValueError(f"{what}: {name} is {_said(there)} there, now {_said(now)}; {advice}")


def _said(value: Any) -> str:
    return "not given" if value is None else repr(value)


def read_record(folder: Path, name: str = "run") -> dict[str, Any]:
    """What `claim` wrote.

    Args:
        folder: of a run.
        name: what it was given as.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    record = folder / RECORD
    if not record.exists():
        raise ValueError(
            f"{name} is '{folder}', which has no {RECORD}; expected the folder of a run of "
            "`boed benchmark` or `boed evaluate`"
        )
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"holds a {type(content).__name__}, expected an object")
        if not isinstance(content.get("kind"), str):
            raise ValueError("says of no kind of run; expected what boed writes")
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {record} is damaged ({error})") from error
    return content


def is_bare(folder: Path) -> bool:
    """Whether nothing was finished of the run in a folder: no results, and no part of them."""
    parts = folder.glob(f"{PARTS}/*")
    return not (folder / RESULTS).exists() and all(each.name.startswith(".") for each in parts)


def _difference(
    key: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> tuple[str, Any, Any]:
    """The innermost thing that differs, and what it is in both."""
    there, now = theirs.get(key), ours.get(key)
    if isinstance(there, dict) and isinstance(now, dict):
        inner = next(each for each in {**now, **there} if there.get(each) != now.get(each))
        name, there, now = _difference(inner, there, now)
        return f"{key}: {name}", there, now
    return key, there, now
