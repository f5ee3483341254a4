"""The page: a person sees and edits a workbook in the browser. A Flask blueprint."""

from __future__ import annotations

from flask import Blueprint

from sheets_sync.sandbox.sheet.store import Store

STREAMS = 24  # open event streams at most, so that threads are left for answers


def blueprint(store: Store) -> Blueprint:
    """The page's routes."""
    return Blueprint("page", __name__)
