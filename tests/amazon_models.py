"""Amazon's published models as checks: what passes between a client and the local Amazon, held to them.

`Checked` stands before the shop's application and looks at every request and every answer: the path must be one of a
model, its parameters known and of their types, its body and the answer's of their schemas. What the models do not
cover (tokens, documents, reports, AWS) passes by.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema

Json = dict[str, Any]
MODELS = "conformance/channels/amazon/spapi_models/models"


class Operation:
    """One method of one path of a model."""

    def __init__(self, model: Json, path: str, method: str, said: Json, shared: list[Json]) -> None:
        self.id, self.method, self.said, self.model = said["operationId"], method.upper(), said, model
        self.pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$")
        self.parameters = [p for p in [*shared, *said.get("parameters", [])] if "name" in p]

    def problems_of_request(self, query: str, body: bytes) -> Iterator[str]:
        known = {p["name"]: p for p in self.parameters if p["in"] == "query"}
        given: dict[str, list[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            given.setdefault(name, []).append(value)
        yield from (f"{self.id}: no parameter {name}" for name in given.keys() - known.keys())
        for name, parameter in known.items():
            if parameter.get("required") and name not in given:
                yield f"{self.id}: {name} is required"
            for value in given.get(name, []):
                yield from self._problems_of_value(parameter, value)
        (schema,) = [p["schema"] for p in self.parameters if p["in"] == "body"] or [None]
        if schema is not None:
            yield from self._problems(schema, json.loads(body or b"null"), "request")

    def _problems_of_value(self, parameter: Json, text: str) -> Iterator[str]:
        name = f"{self.id}: {parameter['name']}"
        values = text.split(",") if parameter["type"] == "array" else [text]
        allowed = parameter.get("items", parameter).get("enum")
        if len(values) > parameter.get("maxItems", 10_000):
            yield f"{name} has {len(values)} values"
        for value in values:
            if allowed and value not in allowed:
                yield f"{name} must not be {value}"
            if parameter["type"] == "integer":
                least, most = parameter.get("minimum", -(10**9)), parameter.get("maximum", 10**9)
                if not value.isdigit() or not least <= int(value) <= most:
                    yield f"{name} must not be {value}"
            if parameter.get("format") == "date-time" and not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", value):
                yield f"{name} is no date-time: {value}"

    def problems_of_answer(self, status: int, body: bytes) -> Iterator[str]:
        answer = self.said["responses"].get(str(status))
        if answer is None:
            yield f"{self.id}: {status} is no answer of it: {body[:200]!r}"
        elif "schema" in answer:
            yield from self._problems(answer["schema"], json.loads(body), f"answer {status}")

    def _problems(self, schema: Json, document: Any, where: str) -> Iterator[str]:
        whole = {**schema, "definitions": self.model["definitions"]}
        for error in jsonschema.Draft4Validator(whole, format_checker=jsonschema.FormatChecker()).iter_errors(document):
            yield f"{self.id} {where} {error.json_path}: {error.message[:300]}"


def operations(shared: Path) -> list[Operation]:
    """Of every model in the folder."""
    found = []
    for file in sorted((shared / MODELS).rglob("*.json")):
        model = json.loads(file.read_text(encoding="utf-8"))
        for path, methods in model["paths"].items():
            common = methods.get("parameters", [])
            for method, said in methods.items():
                if isinstance(said, dict) and "operationId" in said:
                    found.append(Operation(model, path, method, said, common))
    return found


class Checked:
    """WSGI middleware: `problems` is all that was not as the models say, `seen` the operations that were used."""

    def __init__(self, app: Any, known: list[Operation]) -> None:
        self.app, self.known = app, known
        self.problems: list[str] = []
        self.seen: set[str] = set()

    def __call__(self, environ: Json, start_response: Any) -> Iterable[bytes]:
        operation = self._operation(environ)
        if operation is None:
            return self.app(environ, start_response)  # type: ignore[no-any-return]
        self.seen.add(operation.id)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        status: list[int] = []

        def start(line: str, headers: Any, exc_info: Any = None) -> Any:
            status.append(int(line[:3]))
            return start_response(line, headers, exc_info)

        answer = b"".join(self.app(environ, start))
        if status[-1] < 400:
            self.problems += operation.problems_of_request(environ.get("QUERY_STRING", ""), body)
        self.problems += operation.problems_of_answer(status[-1], answer)
        return [answer]

    def _operation(self, environ: Json) -> Operation | None:
        method, path = environ["REQUEST_METHOD"], environ["REQUEST_URI"].partition("?")[0]
        fits = [o for o in self.known if o.method == method and o.pattern.match(path) and "ordersV0" not in o.id]
        return fits[0] if fits else None
