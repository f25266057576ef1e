"""The report of an evaluation of policies under shift: comparisons, figure, page."""
