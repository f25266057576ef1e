"""What came out: results as files, statistics, figures, and pages that hold all of it."""

from boed.report.page import headline, render, sides, write_report

__all__ = ["headline", "render", "sides", "write_report"]
