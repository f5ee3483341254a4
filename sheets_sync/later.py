"""`Later(name)`: a module that is loaded when something is first asked of it.

The command line names every part of the product, and one command uses few of them: `--help` none. Loading them all
takes a second and a half of processor time, most of it for pandas, SQLAlchemy, gspread and Flask.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """Stands for the module `name`; a missing attribute is that module's AttributeError."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"Later({self._name!r})"
