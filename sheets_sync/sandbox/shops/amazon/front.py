"""What every operation of the Selling Partner API has in common: a token, a usage plan, answers and refusals."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from sheets_sync.sandbox.shops.amazon.gate import SELLER, Limits, Tokens
from sheets_sync.sandbox.shops.amazon.model import NotFound, Shop

Json = dict[str, Any]
Answered = tuple[int, Json | None]


class Refused(Exception):
    """An answer of an operation that did not do what was asked."""

    def __init__(self, status: int, code: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details


def invalid(message: str) -> Refused:
    return Refused(400, "InvalidInput", message)


def not_found(message: str) -> Refused:
    return Refused(404, "NotFound", message)


@dataclass(frozen=True)
class Desk:
    """What an operation needs to answer."""

    shop: Shop
    tokens: Tokens
    limits: Limits
    base_url: str

    def answer(self, operation: str, do: Callable[[sqlite3.Connection], Answered], scope: str = SELLER) -> Response:
        """Do an operation in one transaction, if token and usage plan allow it."""
        try:
            why = self.tokens.refusal(request.headers.get("x-amz-access-token"), scope)
            if why is not None:
                raise Refused(403, "Unauthorized", "Access to requested resource is denied.", why)
            if not self.limits.allows(operation):
                raise Refused(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")
            with self.shop.store.transaction() as db:
                self.shop.catch_up(db)
                status, body = do(db)
            return self._response(status, body, operation)
        except Refused as error:
            return self._refusal(error, operation)
        except NotFound as error:
            return self._refusal(not_found(str(error)), operation)

    def _refusal(self, error: Refused, operation: str) -> Response:
        one = {"code": error.code, "message": error.message, "details": error.details}
        return self._response(error.status, {"errors": [one]}, operation)

    def _response(self, status: int, body: Json | None, operation: str) -> Response:
        text = "" if body is None else json.dumps(body, ensure_ascii=False)
        answer = Response(text, status, content_type="application/json")
        answer.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        if status not in (403, 500, 503):  # "when available": not for calls that never reached the operation
            answer.headers["x-amzn-RateLimit-Limit"] = f"{self.limits.plan(operation).rate:g}"
        return answer


def in_json(pages: Blueprint | Flask) -> None:
    """What is no operation, and what goes wrong, is answered in JSON too."""

    @pages.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple[Json, int]:
        one = {"code": "InvalidInput", "message": error.description or error.name, "details": ""}
        return {"errors": [one]}, error.code or 500


# what a request says --------------------------------------------------------------------------------------------


def several(name: str, most: int | None = None) -> list[str]:
    """A list in the query: comma-delimited, or the name again and again."""
    values = [v for text in request.args.getlist(name) for v in text.split(",") if v]
    if most is not None and len(values) > most:
        raise invalid(f"{name} has {len(values)} values; at most {most} are allowed.")
    return values


def among(name: str, known: Mapping[str, object] | tuple[str, ...] | frozenset[str], default: str = "") -> list[str]:
    """A list of words of a vocabulary."""
    values = several(name) or ([default] if default else [])
    for value in values:
        if value not in known:
            raise invalid(f"Invalid value '{value}' for {name}.")
    return values


def whole(name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
        raise invalid(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


def time(name: str) -> datetime | None:
    """An ISO 8601 moment; one without a zone is UTC."""
    text = request.args.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{name} must be a date-time in ISO 8601 format, not '{text[:40]}'.") from None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def body() -> Json:
    """The request's JSON object."""
    found = request.get_json(silent=True)
    if not isinstance(found, dict):
        raise invalid("The request body must be a JSON object.")
    return found


def text_of(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"'{name}' is missing.")
    return value


def texts_of(found: Mapping[str, Any], name: str) -> list[str]:
    value = found.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise invalid(f"'{name}' must be a list of texts.")
    return value
