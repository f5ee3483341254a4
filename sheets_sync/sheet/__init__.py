"""The workbook through gspread: tabs and columns as data, reading, exchanging, setting up, proving."""

from sheets_sync.sheet.client import Pace, SheetAccess, authorize
from sheets_sync.sheet.workbook import Workbook, connect, create

__all__ = ["Pace", "SheetAccess", "Workbook", "authorize", "connect", "create"]
