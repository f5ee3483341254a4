"""Strict checks against Google's discovery documents, which google-api-python-client ships.

`answer_problems("GET", "/v4/…", 200, body)` says where an answer has unknown fields, wrong types or unknown values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

Json = dict[str, Any]
_TYPES = {"int32": "integer", "uint32": "integer", "int64": "string"}


@cache
def _document(name: str) -> Json:
    folder = resources.files("googleapiclient.discovery_cache.documents")
    document: Json = json.loads(folder.joinpath(f"{name}.json").read_text("utf-8"))
    return document


def _strict(schema: Json) -> Json:
    """A discovery schema as a JSON schema in which what is not named is wrong."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    kind = schema.get("type")
    if kind == "object" and "additionalProperties" in schema:
        return {"type": "object", "additionalProperties": _strict(schema["additionalProperties"])}
    if kind == "object":
        fields = {name: _strict(below) for name, below in schema.get("properties", {}).items()}
        return {"type": "object", "properties": fields, "additionalProperties": False}
    if kind == "array":
        return {"type": "array", "items": _strict(schema["items"])}
    if kind == "any":
        return {"type": ["string", "number", "boolean"]}  # a cell; an empty one is "", never null
    strict: Json = {"type": _TYPES.get(schema.get("format", ""), kind)}
    return strict | ({"enum": schema["enum"]} if "enum" in schema else {})


@cache
def _validator(name: str, schema: str) -> Draft202012Validator:
    defs = {key: _strict(below) for key, below in _document(name)["schemas"].items()}
    if name == "sheets.v4":  # a ListValue is a list of rows, each a list of cells
        defs["ValueRange"]["properties"]["values"] = {
            "type": "array",
            "items": {"type": "array", "items": _strict({"type": "any"})},
        }
    return Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": defs})


Good = Callable[[Any], bool]
_PYTHON: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "any": (str, int, float, bool),
}


@cache
def _good(name: str, schema: str) -> Good:
    """The same strictness as a plain function, some fifty times as fast; what it rejects the validator explains."""
    fields: dict[str, Good] = {}

    def good(value: Any) -> bool:
        if not fields:
            properties = _document(name)["schemas"][schema].get("properties", {})
            fields.update({field: _good_part(name, below) for field, below in properties.items()})
            if schema == "ValueRange":
                fields["values"] = lambda rows: all(type(row) is list and all(map(_is_cell, row)) for row in rows)
        if type(value) is not dict:
            return False
        return all(field in fields and fields[field](below) for field, below in value.items())

    return good


def _is_cell(value: Any) -> bool:
    return type(value) in _PYTHON["any"]


def _good_part(name: str, schema: Json) -> Good:
    if "$ref" in schema:
        return _good(name, schema["$ref"])
    kind = schema["type"]
    if kind == "array":
        item = _good_part(name, schema["items"])
        return lambda value: type(value) is list and all(map(item, value))
    if kind == "object":
        item = _good_part(name, schema.get("additionalProperties") or {"type": "none"})
        return lambda value: type(value) is dict and all(map(item, value.values()))
    if "enum" in schema:
        words = frozenset(schema["enum"])
        return lambda value: type(value) is str and value in words
    types = _PYTHON.get(_TYPES.get(schema.get("format", ""), kind), ())
    return lambda value: type(value) in types


def _problems(name: str, schema: str, value: Any) -> list[str]:
    if _good(name, schema)(value):
        return []
    return [f"{e.json_path}: {e.message[:300]}" for e in _validator(name, schema).iter_errors(value)]


@cache
def _methods(name: str) -> list[tuple[str, re.Pattern[str], Json]]:
    found = []

    def collect(resources_: Json) -> None:
        for resource in resources_.values():
            for method in resource.get("methods", {}).values():
                path = _document(name)["servicePath"] + (method.get("flatPath") or method["path"])
                pattern = "".join(
                    "(.+)" if part.startswith("{") else re.escape(part) for part in re.split(r"({[^}]+})", path)
                )
                found.append((method["httpMethod"], re.compile(f"^/{pattern}$"), method))
            collect(resource.get("resources", {}))

    collect(_document(name)["resources"])
    return sorted(found, key=lambda item: -len(item[1].pattern.replace("(.+)", "")))


def method_of(verb: str, path: str) -> tuple[str, Json] | None:
    """The document and method that a call is for."""
    name = "drive.v3" if path.startswith("/drive/") else "sheets.v4"
    return next(((name, m) for http, pattern, m in _methods(name) if http == verb and pattern.match(path)), None)


def answer_problems(verb: str, path: str, status: int, body: bytes) -> list[str]:
    """What is wrong with an answer by the discovery document."""
    found = method_of(verb, path)
    if found is None:
        return [f"{verb} {path} is no method of the API"] if status == 200 else []
    answer = json.loads(body) if body else {}
    if status >= 400:
        error = answer.get("error", {})
        good = (
            error.get("code") == status
            and isinstance(error.get("message"), str)
            and isinstance(error.get("status"), str)
        )
        return [] if good else [f"{verb} {path}: not Google's error shape: {answer}"]
    name, method = found
    schema = method.get("response", {}).get("$ref")
    if schema is None:
        return []
    return [f"{verb} {path}: {problem}" for problem in _problems(name, schema, answer)]


def request_problems(verb: str, path: str, body: bytes) -> list[str]:
    """What is wrong with a request's body by the discovery document; nulls are tolerated, as Google does."""
    found = method_of(verb, path)
    schema = found[1].get("request", {}).get("$ref") if found else None
    if found is None or schema is None or not body:
        return []
    given = _without_nulls(json.loads(body))
    return [f"{verb} {path}: {problem}" for problem in _problems(found[0], schema, given)]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return ["" if v is None else _without_nulls(v) for v in value] if isinstance(value, list) else value


# The local sheet refuses what the document does not name; it keeps a short form of it (`python -m tests.discovery`).

SHORT = Path(__file__).resolve().parents[1] / "sheets_sync" / "sandbox" / "sheet" / "schema.json"


def short_form() -> Json:
    """Of each method its query parameters and the message of its body, and of each message its fields with their types.

    A type is a word ("string", "int32", …), {"of": message}, {"list": type}, {"map": type} or {"enum": [words]}.
    """
    methods: Json = {}
    messages: Json = {}
    for verb, _, method in _methods("sheets.v4"):
        about = {
            "verb": verb,
            "query": sorted(k for k, p in method.get("parameters", {}).items() if p["location"] == "query"),
        }
        body = method.get("request", {}).get("$ref")
        methods[method["id"].removeprefix("sheets.")] = about | ({"body": body} if body else {})
        if body:
            _collect(body, messages)
    anywhere = sorted(_document("sheets.v4")["parameters"])
    return {"anywhere": anywhere, "methods": dict(sorted(methods.items())), "messages": dict(sorted(messages.items()))}


def _collect(name: str, messages: Json) -> None:
    if name in messages:
        return
    fields = messages[name] = {}
    for field, below in sorted(_document("sheets.v4")["schemas"][name].get("properties", {}).items()):
        fields[field] = _short_type(below, messages)


def _short_type(schema: Json, messages: Json) -> Any:
    if "$ref" in schema:
        _collect(schema["$ref"], messages)
        return {"of": schema["$ref"]}
    if schema["type"] == "array":
        return {"list": _short_type(schema["items"], messages)}
    if schema["type"] == "object":
        return {"map": _short_type(schema["additionalProperties"], messages)}
    if "enum" in schema:
        return {"enum": schema["enum"]}
    return {"integer": "int32", "number": "number"}.get(schema["type"]) or (
        "int64" if schema.get("format") == "int64" else schema["type"]
    )


if __name__ == "__main__":
    SHORT.write_text(json.dumps(short_form(), separators=(",", ":")) + "\n", encoding="utf-8")
