"""sheets-sync: one master count per SKU, kept in a Google Sheet, offered on every channel."""

__version__ = "0.1.0"
