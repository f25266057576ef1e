"""The report of an evaluation of completers: table, figures, page."""
