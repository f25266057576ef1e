"""Searches by name."""

from __future__ import annotations

from boed.search.candidates.coarse_to_fine import CoarseToFine
from boed.search.candidates.exhaustive import Exhaustive, Search
from boed.search.candidates.racing import Racing

SEARCHES: dict[str, tuple[Search, str]] = {
    "exhaustive": (Exhaustive(), "exact: all candidates with all completions"),
    "racing": (Racing(), "exact: the exhaustive choice from fewer evaluations"),
    "coarse": (
        CoarseToFine(then=Racing()),
        "an approximation: a coarse grid refined, which may miss the best look; by racing",
    ),
}
"""Searches by name, and what results say of them."""
