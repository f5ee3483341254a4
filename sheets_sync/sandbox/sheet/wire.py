"""What a call may say: its query and body are held against Google's discovery document, in a short form of our own.

A body that is all as named is found so fast and is given back as it is. Else it is read as Google reads JSON: names in
snake_case too, numbers in quotes, nulls left out; what is wrong even so is refused, in Google's words, all at once.
Source: `schema.json`, made from sheets.v4.json; https://protobuf.dev/programming-guides/json/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import orjson

Json = dict[str, Any]
Good = Callable[[Any], bool]
_SNAKE = re.compile(r"_([a-z0-9])")
_CAMEL = re.compile(r"[A-Z]")
_WHOLE = re.compile(r"^-?\d+$")
_TYPES = "type.googleapis.com/google.apps.sheets.v4."
_ONE_OF = {"Request": "kind", "ExtendedValue": "value"}  # messages of which one field may be set; not in the document


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a call: the field as Google names it ("" is the whole), and what it is."""

    field: str
    words: str


class BadPayload(ValueError):
    """A call that is not what the discovery document says. Answered 400 INVALID_ARGUMENT."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(fault.words for fault in faults))
        self.faults = faults


@cache
def _document() -> Json:
    document: Json = orjson.loads((resources.files(__package__) / "schema.json").read_bytes())
    return document


def check_query(method: str, names: Iterable[str]) -> None:
    """Refuse query parameters that the method does not have. `method` is like `spreadsheets.values.get`."""
    known = {*_document()["anywhere"], *_document()["methods"][method]["query"]}
    unknown = [name for name in names if name not in known and _camel(name) not in known]
    words = (
        "Invalid JSON payload received. Unknown name \"{0}\": Cannot bind query parameter. Field '{0}' could not be "
    )
    if unknown:
        raise BadPayload([Fault("", words.format(name) + "found in request message.") for name in unknown])


def check_body(method: str, body: Json) -> Json:
    """The body with canonical names and types; raises BadPayload."""
    message = _document()["methods"][method].get("body")
    if message is None or _good_message(message)(body):
        return body
    faults: list[Fault] = []
    # a ValueRange is bound to the field `data` of the method's request; the others are the request itself
    read: Json = _message(message, body, "data" if message == "ValueRange" else "", faults)
    if faults:
        raise BadPayload(faults)
    return read


# the fast look: true where nothing needs to be done


@cache
def _good_message(name: str) -> Good:
    fields: dict[str, Good] = {}
    most = 1 if name in _ONE_OF else len(_document()["messages"][name])

    def good(value: Any) -> bool:
        if not fields:
            fields.update({field: _good(kind) for field, kind in _document()["messages"][name].items()} or {"": _never})
        if type(value) is not dict or len(value) > most:
            return False
        for key, below in value.items():
            check = fields.get(key)
            if check is None or not check(below):
                return False
        return True

    return good


def _never(value: Any) -> bool:
    return False


def _good(kind: Any) -> Good:
    if isinstance(kind, str):
        types = _PLAIN.get(kind)
        return (lambda value: type(value) in types) if types else (lambda value: True)
    if "of" in kind:
        return _good_message(kind["of"])
    if "enum" in kind:
        words = frozenset(kind["enum"])
        return lambda value: type(value) is str and value in words
    if "list" in kind:
        if kind["list"] == {"list": "any"}:
            return lambda value: type(value) is list  # rows of cells; what writes them looks at each
        item = _good(kind["list"])
        return lambda value: type(value) is list and all(map(item, value))
    item = _good(kind["map"])
    return lambda value: type(value) is dict and all(map(item, value.values()))


_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "int32": (int,),
    "number": (int, float),
    "int64": (str,),
}


_NAMES = {
    "string": "TYPE_STRING",
    "boolean": "TYPE_BOOL",
    "int32": "TYPE_INT32",
    "number": "TYPE_DOUBLE",
    "int64": "TYPE_INT64",
}


# the slow look: reads what can be read, and says what can not


def _message(name: str, value: Any, path: str, faults: list[Fault]) -> Any:
    if not isinstance(value, dict):
        return _invalid(value, path, _TYPES + name, faults)
    fields, read = _document()["messages"][name], {}
    for key, below in value.items():
        field = key if key in fields else _camel(key)
        if field not in fields:
            at = f" at '{path}'" if path else ""
            faults.append(Fault(path, f'Invalid JSON payload received. Unknown name "{key}"{at}: Cannot find field.'))
        elif below is not None:
            read[field] = _value(fields[field], below, f"{path}.{_snake(field)}".lstrip("."), faults, field)
    for field in list(read)[1:] if name in _ONE_OF else ():
        words = f"Invalid value at '{path}' (oneof), oneof field '{_ONE_OF[name]}' is already set. Cannot set '{field}'"
        faults.append(Fault(path, words))
    return read


def _value(kind: Any, value: Any, path: str, faults: list[Fault], field: str) -> Any:
    if isinstance(kind, str):
        return _scalar(kind, value, path, faults)
    if "of" in kind:
        if isinstance(value, list):
            words = f"Invalid JSON payload received. Unknown name \"{field}\" at '{path.rpartition('.')[0]}': "
            faults.append(Fault(path.rpartition(".")[0], words + "Proto field is not repeating, cannot start list."))
            return value
        return _message(kind["of"], value, path, faults)
    if "enum" in kind:
        good = isinstance(value, str) and value in kind["enum"]
        return value if good else _invalid(value, path, _TYPES + field[:1].upper() + field[1:], faults)
    if "list" in kind:
        return _list(kind["list"], value, path, faults, field)
    if not isinstance(value, dict):
        return _invalid(value, path, "Map", faults)
    return {key: _value(kind["map"], below, f"{path}[{key}]", faults, field) for key, below in value.items()}


def _list(kind: Any, value: Any, path: str, faults: list[Fault], field: str) -> Any:
    if kind == {"list": "any"}:
        return value  # rows of cells: the words for those are in `api`
    if not isinstance(value, list):
        name = _TYPES + kind["of"] if isinstance(kind, dict) and "of" in kind else "LIST"
        return _invalid(value, path, name, faults)
    empty = {} if isinstance(kind, dict) else ""
    items = ((f"{path}[{i}]", empty if item is None else item) for i, item in enumerate(value))
    return [_value(kind, item, at, faults, field) for at, item in items]


def _scalar(kind: str, value: Any, path: str, faults: list[Fault]) -> Any:
    types = _PLAIN.get(kind)
    if types is None or type(value) in types:
        return value
    if kind == "int32" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "int64" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if kind in ("int32", "number") and isinstance(value, str) and _WHOLE.match(value):
        return int(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return _invalid(value, path, _NAMES[kind], faults)


def _invalid(value: Any, path: str, kind: str, faults: list[Fault]) -> Any:
    faults.append(Fault(path, f"Invalid value at '{path}' ({kind}), {orjson.dumps(value).decode()[:500]}"))
    return value


def _camel(name: str) -> str:
    return _SNAKE.sub(lambda m: m[1].upper(), name)


def _snake(name: str) -> str:
    return _CAMEL.sub(lambda m: "_" + m[0].lower(), name)
