"""The local sheet without a socket: requests are handed to the Flask app in the same thread, through a middleware.

What a machine of thousands of steps needs: fast, and nothing happens but what the test lets happen.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from sheets_sync.sandbox.sheet.server import Answer, Call, Middleware, _Dropped


def folder_for(name: str) -> Path:
    """A new folder, in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=memory if memory.is_dir() else None))


class AppAdapter(BaseAdapter):
    """What a `requests.Session` sends through: `session.mount(base_url, AppAdapter(app, middleware, base_url))`."""

    def __init__(self, app: Any, middleware: Middleware, base_url: str) -> None:
        super().__init__()
        self.app, self.middleware, self.base_url = app, middleware, base_url

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
        started: list[Any] = []
        host, _, port = self.base_url.partition("://")[2].partition(":")
        environ = {
            "REQUEST_METHOD": call.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(call.path, "latin-1"),
            "QUERY_STRING": call.query,
            "SERVER_NAME": host,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": f"{host}:{port}" if port else host,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(call.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in call.headers.items()},
            "CONTENT_TYPE": call.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(call.body)),
        }
        body = b"".join(self.app(environ, lambda status, headers, exc_info=None: started.extend((status, headers))))
        return Answer(int(started[0].split()[0]), dict(started[1]), body)


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(answer.headers)
    response.raw = io.BytesIO(answer.body)
    response.url = request.url or ""
    response.request = request
    return response
