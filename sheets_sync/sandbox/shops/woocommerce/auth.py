"""Who may ask: OAuth 1.0a over plain HTTP, Basic or query parameters over https, as WooCommerce has it.

Basic over plain HTTP is not looked at, so it ends as a 401 like no credentials at all. A one-legged OAuth signature is
checked over method, address and sorted parameters; its timestamp must be within 15 minutes and its nonce new.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from sheets_sync.sandbox.shops._common import Clock, Store, random_secret

WINDOW = 15 * 60
"""Seconds that an OAuth timestamp may be off, and that a nonce is remembered."""

NEEDED = ("oauth_consumer_key", "oauth_timestamp", "oauth_nonce", "oauth_signature", "oauth_signature_method")
HASHES = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256}


class Refused(Exception):
    """A 401 with WooCommerce's own code and words."""

    def __init__(self, message: str, code: str = "woocommerce_rest_authentication_error") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Asked:
    """What of a request the check needs. `url` is the address without its query."""

    method: str
    url: str
    secure: bool
    params: Mapping[str, str]
    basic: tuple[str, str] | None


class Keys:
    """The shop's API keys."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def first(self, consumer_key: str = "", consumer_secret: str = "") -> dict[str, str]:
        """The read/write key that the shop was opened with; made once."""
        key = consumer_key or self._store.setting("consumer_key", lambda: random_secret("ck_"))
        secret = consumer_secret or self._store.setting("consumer_secret", lambda: random_secret("cs_"))
        self.add(key, secret, "read_write")
        return {"consumer_key": key, "consumer_secret": secret}

    def add(self, key: str, secret: str, permissions: str) -> None:
        """`permissions`: read, write or read_write."""
        with self._store.transaction() as db:
            db.execute("INSERT OR REPLACE INTO api_key VALUES (?, ?, ?)", (key, secret, permissions))

    def revoke(self, key: str) -> None:
        with self._store.transaction() as db:
            db.execute("DELETE FROM api_key WHERE consumer_key = ?", (key,))

    def permissions(self, asked: Asked) -> str | None:
        """What the request's key may do; None where it carries none. Raises Refused."""
        if asked.secure:
            row = self._basic(asked)
            if row is not None:
                return str(row["permissions"])
        return self._oauth(asked)

    def _find(self, key: str) -> sqlite3.Row | None:
        with self._store.transaction() as db:
            row = db.execute("SELECT * FROM api_key WHERE consumer_key = ?", (key,)).fetchone()
        return row if isinstance(row, sqlite3.Row) else None

    def _basic(self, asked: Asked) -> sqlite3.Row | None:
        key, secret = asked.basic or (asked.params.get("consumer_key", ""), asked.params.get("consumer_secret", ""))
        if not key or not secret:
            return None
        row = self._find(key)
        if row is None:
            raise Refused("Consumer key is invalid.")
        if not hmac.compare_digest(str(row["consumer_secret"]).encode(), secret.encode()):
            raise Refused("Consumer secret is invalid.")
        return row

    def _oauth(self, asked: Asked) -> str | None:
        missing = [name for name in NEEDED if not asked.params.get(name)]
        if len(missing) == len(NEEDED):
            return None
        if missing:
            raise Refused(
                f"Missing OAuth parameter {', '.join(missing)}", "woocommerce_rest_authentication_missing_parameter"
            )
        row = self._find(asked.params["oauth_consumer_key"])
        if row is None:
            raise Refused("Consumer key is invalid.")
        self._check_signature(asked, str(row["consumer_secret"]))
        self._check_once(asked)
        return str(row["permissions"])

    def _check_signature(self, asked: Asked, secret: str) -> None:
        digest = HASHES.get(asked.params["oauth_signature_method"])
        if digest is None:
            raise Refused("Invalid signature - signature method is invalid.")
        text = signed_text(asked)
        wanted = base64.b64encode(hmac.new(f"{secret}&".encode(), text.encode(), digest).digest()).decode()
        given = asked.params["oauth_signature"].replace(" ", "+")
        if not hmac.compare_digest(wanted.encode(), given.encode()):
            raise Refused("Invalid signature - provided signature does not match.")

    def _check_once(self, asked: Asked) -> None:
        now = int(self._clock().timestamp())
        stamp = asked.params["oauth_timestamp"]
        if not stamp.isdigit() or abs(now - int(stamp)) > WINDOW:
            raise Refused("Invalid timestamp.")
        key, nonce = asked.params["oauth_consumer_key"], asked.params["oauth_nonce"]
        with self._store.transaction() as db:
            db.execute("DELETE FROM nonce WHERE at < ?", (now - 2 * WINDOW,))
            new = db.execute("INSERT OR IGNORE INTO nonce VALUES (?, ?, ?)", (key, nonce, now)).rowcount
        if new < 1:
            raise Refused("Invalid nonce - nonce has already been used.")


def signed_text(asked: Asked) -> str:
    """WooCommerce's base string: parameters sorted, each `%` of them encoded twice."""
    params = sorted((k, v) for k, v in asked.params.items() if k != "oauth_signature")
    pairs = "&".join(f"{_encode(unquote(k))}={_encode(unquote(v))}" for k, v in params)
    return f"{asked.method.upper()}&{_encode(asked.url)}&{_encode(pairs)}"


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")
