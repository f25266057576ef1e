"""Which candidates are judged, and how well."""

from boed.search.coarse_to_fine import CoarseToFine
from boed.search.exhaustive import Exhaustive, Search
from boed.search.racing import Racing

__all__ = ["CoarseToFine", "Exhaustive", "Racing", "Search"]
