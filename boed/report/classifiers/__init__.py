"""The report of an evaluation of classifiers under shift: statistics, figures, page."""
