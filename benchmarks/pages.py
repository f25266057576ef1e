"""Places in pages of the documentation that benchmarks fill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boed.foundation.files import atomic


def check_place(page: Path, place: str) -> tuple[str, str]:
    """What stands before and behind a place between `<!-- PLACE -->` and `<!-- end of PLACE -->`.

    Raises:
        ValueError: the page has no such place.
    """
    begin, end = f"<!-- {place} -->", f"<!-- end of {place} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"page {page} has no place {begin} with {end} behind it")
    return before, after


def fill(page: Path, place: str, text: str) -> None:
    """Put a text into a place of a page, instead of what is there.

    Raises:
        ValueError: the page has no such place.
    """
    before, after = check_place(page, place)
    begin, end = f"<!-- {place} -->", f"<!-- end of {place} -->"
    with atomic(page) as temporary:
        temporary.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def publish(text: str, page: Path | None, place: str) -> None:
    """Print a text, and put it into a place of a page if one is given."""
    print(text)
    if page is not None:
        fill(page, place, text)


def bracketed(values: Sequence[float], digits: int, *, signed: bool = False) -> str:
    """A mean with its interval, of so many decimals."""
    mean, low, high = (f"{each:{'+' if signed else ''}.{digits}f}" for each in values)
    return f"{mean} [{low}, {high}]"
