"""One bound on the memory that a size from outside may ask for, checked before it is taken.

Options and files can name any size: a grid of 10^9, a compressed array of terabytes. Whoever makes
a tensor of such a size says beforehand how many bytes that will be.
"""

from __future__ import annotations

import math
import os

LIMIT = "BOED_MEMORY_GIB"
"""The environment variable that sets the limit, in GiB."""

MOST_GIB = 8.0
"""The limit if it is not set, or half of the machine's memory where that is less."""

GIB = 1 << 30


def memory_limit() -> float:
    """How many bytes one thing may need: `$BOED_MEMORY_GIB`, or else 8 GiB or half the machine's.

    Raises:
        ValueError: the variable holds no number above zero.
    """
    given = os.environ.get(LIMIT)
    if not given:
        return min(MOST_GIB * GIB, _memory_of_machine() / 2)
    try:
        limit = float(given)
    except ValueError:
        limit = math.nan
    if not limit > 0:
        raise ValueError(f"{LIMIT} is {given!r}, expected a number of GiB above 0")
    return limit * GIB


def check_memory(what: str, nbytes: float) -> None:
    """Refuse what would need more memory than the limit.

    >>> check_memory("a completion", 4 * 64 * 64)
    >>> check_memory("batch 1000000000: of digits", 1e9 * 4 * 32 * 32)
    Traceback (most recent call last):
    ValueError: batch 1000000000: of digits needs about 3,815 GiB of memory, the limit is ...

    Args:
        what: needs it, with the option or file that asks for it and the number given.
        nbytes: an estimate.

    Raises:
        ValueError: saying what, how much, the limit and how to raise it.
    """
    limit = memory_limit()
    if not nbytes <= limit:
        raise ValueError(
            f"{what} needs about {_gib(nbytes)} GiB of memory, the limit is {_gib(limit)} GiB; "
            f"ask for less, or raise the limit by {LIMIT}"
        )


def _gib(nbytes: float) -> str:
    gib = min(nbytes, 1e300) / GIB  # whole numbers may be larger than any float
    return f"{gib:,.0f}" if 100 <= gib < 1e6 else f"{gib:.2g}"


def _memory_of_machine() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not known on every system
        return math.inf
