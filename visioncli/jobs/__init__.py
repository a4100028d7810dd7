"""Runs: a listing to a snapshot, the snapshot to parts, the parts to a table; resumable at every point.

`run(job)` does it all; `steps(job)` is the same as a generator, for whoever wants to show progress or to stop it.
"""

from __future__ import annotations

from visioncli.io.listing import ListingOptions
from visioncli.jobs.job import Device, Job, Policy, Progress, Stop
from visioncli.jobs.look import look_at
from visioncli.jobs.steps import run, steps
from visioncli.jobs.summary import Summary
from visioncli.settings import Settings

__all__ = [
    "Device",
    "Job",
    "ListingOptions",
    "Policy",
    "Progress",
    "Settings",
    "Stop",
    "Summary",
    "look_at",
    "run",
    "steps",
]
