"""Pages to look at: one output as a picture book with its statistics, or two outputs and what changed between them."""

from visioncli.report.build import ReportOptions, report
from visioncli.report.changed import changed, summary
from visioncli.report.comparison import DiffOptions, Limit, compare
from visioncli.report.page import Page, refuse_existing, write
from visioncli.report.results import Results

__all__ = [
    "DiffOptions",
    "Limit",
    "Page",
    "ReportOptions",
    "Results",
    "changed",
    "compare",
    "refuse_existing",
    "report",
    "summary",
    "write",
]
