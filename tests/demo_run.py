"""A demo as a process of its own, as a person has it: started, looked at over HTTP, interrupted or killed."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any, TypeVar

import requests

COMMAND = [sys.executable, "-m", "sheets_sync.cli"]
STARTS = 60.0  # seconds; a tenth of it is usual, but tests share the machine
FOLLOWS = 15.0  # seconds within which a change must be everywhere; 5 are promised on a machine that is free

T = TypeVar("T")


def soon(read: Callable[[], T], holds: Callable[[T], bool], within: float = FOLLOWS) -> T:
    """What `read` gives once it holds; fails with the last thing read when the time is over."""
    deadline = time.monotonic() + within
    while not holds(found := read()):
        assert time.monotonic() < deadline, f"not within {within:g} s; the last was {found!r}"
        threading.Event().wait(0.1)
    return found


class Demo:
    """`sheets-sync demo --json` on a folder, on ports of its own. A context manager: leaving it kills what is left."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        environ = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
        command = [*COMMAND, "demo", "--json", "--no-browser", "--data", str(folder), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, encoding="utf-8"
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.out: list[str] = []
        self.said = ""
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_out, self._read_said)]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.out.append(line)
            self.lines.put(line)
        self.lines.put("")

    def _read_said(self) -> None:
        assert self.process.stderr is not None
        self.said = self.process.stderr.read()

    def up(self) -> dict[str, Any]:
        """The line, once all is up."""
        line = self.lines.get(timeout=STARTS)
        assert line, f"it ended with {self.end(None)}: {self.said}"
        self.about: dict[str, Any] = json.loads(line)
        return self.about

    def end(self, how: signal.Signals | None = signal.SIGINT) -> int:
        """Send a signal, and the exit code it ends with."""
        if how is not None:
            self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        for reader in self._readers:
            reader.join(timeout=10)
        return code

    def __enter__(self) -> Demo:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=30)

    # as a person ------------------------------------------------------------------------------------------------

    def rows(self, tab: str) -> list[dict[str, Any]]:
        """The rows of a tab by header, through the Sheets API."""
        sheet = self.about["sheet"]
        url = f"{sheet['base_url']}/v4/spreadsheets/{sheet['spreadsheet_id']}/values/{tab}"
        answer = requests.get(url, {"valueRenderOption": "UNFORMATTED_VALUE"}, timeout=10)
        header, *rows = answer.json()["values"]
        return [dict(zip(header, row, strict=False)) for row in rows]

    def row(self, sku: str) -> dict[str, Any]:
        return next(row for row in self.rows("Stock") if row.get("SKU") == sku)

    def type(self, sku: str, text: str, header: str = "On hand") -> None:
        """Type into a cell of the Stock tab, as the page sends it."""
        sheet = self.about["sheet"]
        url = f"{sheet['base_url']}/v4/spreadsheets/{sheet['spreadsheet_id']}"
        tabs = [
            s["properties"] for s in requests.get(url, {"fields": "sheets.properties"}, timeout=10).json()["sheets"]
        ]
        stock = next(tab.get("sheetId", 0) for tab in tabs if tab["title"] == "Stock")
        rows = self.rows("Stock")
        at = {"sheetId": stock, "rowIndex": 1 + [r.get("SKU") for r in rows].index(sku), "rows": [[text]]}
        body = {"requests": [{"enterValues": {**at, "columnIndex": list(rows[0]).index(header)}}]}
        answer = requests.post(f"{sheet['page']}/edits", json=body, timeout=10)
        assert answer.ok, answer.text

    def storefront(self, shop: str) -> dict[str, tuple[str, int]]:
        """By SKU: the product's id and the figure that a buyer sees."""
        page = requests.get(self.about["shops"][shop]["storefront"], timeout=10).text
        found = re.findall(
            r'data-sku="([^"]*)">.*?class="figure[^"]*">\s*(-?\d+).*?name="product" value="([^"]*)"', page, re.DOTALL
        )
        return {unescape(sku): (product, int(figure)) for sku, figure, product in found}

    def figure(self, shop: str, sku: str) -> int:
        return self.storefront(shop)[sku][1]

    def buy(self, shop: str, sku: str, units: int) -> None:
        base = self.about["shops"][shop]["base_url"]
        form = {"product": self.storefront(shop)[sku][0], "units": str(units)}
        answer = requests.post(f"{base}/buy", form, headers={"Origin": base}, timeout=10)
        assert answer.ok, answer.text

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """A call to the local Shopify with the credentials of the line."""
        shop = self.about["shops"]["shopify"]
        answer = requests.post(
            f"{shop['base_url']}/admin/api/2026-07/graphql.json",
            json={"query": query, "variables": variables},
            headers={"X-Shopify-Access-Token": shop["credentials"]["access_token"]},
            timeout=10,
        )
        data: dict[str, Any] = answer.json()["data"]
        return data


def sheets_sync(*arguments: str, config: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    given = ["--config", str(config)] if config else []
    environ = {**os.environ, "PYTHONUTF8": "1", **options.pop("environ", {})}
    return subprocess.run(
        [*COMMAND, *given, *arguments], capture_output=True, text=True, timeout=60, env=environ, encoding="utf-8",
        **options,
    )  # fmt: skip
