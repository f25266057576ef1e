"""What came out: results as files, statistics, figures, and pages that hold all of it."""

from boed.report.headline import headline
from boed.report.page import render, report_tables, sides, write_report

__all__ = ["headline", "render", "report_tables", "sides", "write_report"]
