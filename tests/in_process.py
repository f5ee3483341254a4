"""The local sheet without a socket: requests are handed to the Flask app in the same thread, through a middleware.

What a machine of thousands of steps needs: fast, and nothing happens but what the test lets happen.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Flask
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from sheets_sync.sandbox.sheet.server import Answer, Call, Middleware, _Dropped


class AppAdapter(BaseAdapter):
    """What a `requests.Session` sends through: `session.mount(base_url, AppAdapter(app, middleware))`."""

    def __init__(self, app: Flask, middleware: Middleware) -> None:
        super().__init__()
        self.client, self.middleware = app.test_client(), middleware

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None, verify: Any = True,
        cert: Any = None, proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:  # fmt: skip
        url = urlsplit(request.url or "")
        body = request.body or b""
        call = Call(
            request.method or "GET", url.path, url.query, dict(request.headers),
            body.encode() if isinstance(body, str) else body,
        )  # fmt: skip
        answer = self.middleware(call, lambda: self._proceed(call))
        if isinstance(answer, _Dropped):
            raise requests.ConnectionError("dropped", request=request)
        return _response(request, answer)

    def close(self) -> None:
        pass

    def _proceed(self, call: Call) -> Answer:
        answer = self.client.open(
            call.path, method=call.method, query_string=call.query, data=call.body, headers=call.headers
        )
        return Answer(answer.status_code, dict(answer.headers), answer.get_data())


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(answer.headers)
    response.raw = io.BytesIO(answer.body)
    response.url = request.url or ""
    response.request = request
    return response
