"""Edit notifications: after a person's edit, a hint to whoever keeps the workbook in step.

As the Apps Script add-on does for Google's sheet: `{"spreadsheetId", "sheet", "range"}`, with the shared secret in
X-Sheets-Sync-Token. A hint may be lost; looking is the truth. So edits in quick succession become one hint, a failure
is only logged, and nobody who types ever waits for it.
"""

from __future__ import annotations

import logging
import threading

import requests

from sheets_sync.sandbox.sheet.store import Change, Store

PAUSE = 0.3  # seconds between two hints, at least
TIMEOUT = (1.0, 2.0)  # seconds to connect, to be answered
log = logging.getLogger(__name__)


class Notifier:
    """Sends hints in a thread of its own, the newest edit of each tab."""

    def __init__(self, store: Store, url: str, secret: str) -> None:
        self._url, self._headers = url, {"X-Sheets-Sync-Token": secret}
        self._waiting: dict[tuple[str, str], Change] = {}
        self._wake = threading.Condition()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="edit-notifications", daemon=True)
        self._thread.start()
        store.watch(self.note)

    def note(self, change: Change) -> None:
        """Remember a person's edit; the API's writes fire nothing, as at Google."""
        if change.who == "person":
            with self._wake:
                self._waiting[change.spreadsheet_id, change.title] = change
                self._wake.notify()

    def close(self) -> None:
        self._closed.set()
        with self._wake:
            self._wake.notify()
        self._thread.join(sum(TIMEOUT) + 1)

    def _loop(self) -> None:
        with requests.Session() as session:
            while not self._closed.is_set():
                with self._wake:
                    self._wake.wait_for(lambda: self._closed.is_set() or bool(self._waiting))
                    changes, self._waiting = list(self._waiting.values()), {}
                for change in changes:
                    self._send(session, change)
                self._closed.wait(PAUSE)

    def _send(self, session: requests.Session, change: Change) -> None:
        body = {"spreadsheetId": change.spreadsheet_id, "sheet": change.title, "range": change.range}
        try:
            session.post(self._url, json=body, headers=self._headers, timeout=TIMEOUT)
        except requests.RequestException as failed:
            log.debug("edit notification not delivered: %s", failed)
