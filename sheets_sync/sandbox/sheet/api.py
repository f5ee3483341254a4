"""The Sheets API v4, and the bit of Drive v3 that gspread uses, over a `Store`: a Flask blueprint.

Any bearer token is accepted, or none; `POST /token` gives one, so that google-auth's service accounts work with a local
`token_uri`. An answer is the same JSON, status and words as Google's, as far as they are recorded.
Source: the discovery documents sheets.v4.json and drive.v3.json of google-api-python-client.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Any

import orjson
from flask import Blueprint, Response, request
from werkzeug.exceptions import InternalServerError, RequestEntityTooLarge

from sheets_sync.sandbox.sheet import a1, answers, mask, quotas, rendering, wire
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.draft import Refused
from sheets_sync.sandbox.sheet.grid import Book, Json, Tab
from sheets_sync.sandbox.sheet.metadata import matches
from sheets_sync.sandbox.sheet.store import BadRange, Store, Unknown, area_in

SPREADSHEET = "application/vnd.google-apps.spreadsheet"
RENDER = ("FORMATTED_VALUE", "UNFORMATTED_VALUE", "FORMULA")
INPUT = ("RAW", "USER_ENTERED")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
STALE = "local_sheet.stale"  # in the WSGI environment: the Book that this read is answered from
_GOOGLE_ID = re.compile(r"^1[A-Za-z0-9_-]{43}$")


class Problem(Exception):
    """An answer that is an error: HTTP status, Google's name for it, and what to say."""

    def __init__(self, code: int, status: str, message: str, details: list[Json] | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.details = code, status, details


def invalid(message: str, details: list[Json] | None = None) -> Problem:
    return Problem(400, "INVALID_ARGUMENT", message, details)


def blueprint(store: Store, meter: quotas.Meter | None = None) -> Blueprint:
    """All routes of the two APIs, and the token endpoint; with a meter, Sheets' quotas."""
    api = Blueprint("api", __name__)
    _Sheets(store).register(api)
    _Drive(store).register(api)

    @api.post("/token")
    def token() -> Response:
        given = quotas.token_for(request.form.get("assertion", ""), secrets.token_urlsafe(24))
        return reply({"access_token": given, "expires_in": 3600, "token_type": "Bearer"})

    @api.before_request
    def metered() -> None:
        if meter is None or not request.path.startswith("/v4/"):
            return
        user = request.args.get("quotaUser") or quotas.user_of(request.headers.get("Authorization", ""))
        refusal = meter.take(user, quotas.is_read(request.method, request.path))
        if refusal:
            raise Problem(429, "RESOURCE_EXHAUSTED", **refusal)

    @api.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return error_reply(error)

    @api.errorhandler(Unknown)
    def unknown(error: Unknown) -> Response:
        return error_reply(_absent(store, str(error.args[0])))

    @api.errorhandler(wire.BadPayload)
    def bad_payload(error: wire.BadPayload) -> Response:
        return error_reply(invalid(str(error), _violations(error.faults)))

    @api.errorhandler(Refused)
    @api.errorhandler(BadRange)
    def refused(error: ValueError) -> Response:
        return error_reply(invalid(str(error)))

    @api.route("/v4/<path:_>", methods=_METHODS)
    @api.route("/drive/<path:_>", methods=_METHODS)
    def no_method(_: str) -> Response:
        raise Problem(404, "NOT_FOUND", "Method not found.")

    @api.errorhandler(InternalServerError)
    def broken(error: InternalServerError) -> Response:
        return error_reply(Problem(500, "INTERNAL", "Internal error encountered."))

    @api.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge) -> Response:
        return error_reply(Problem(413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."))

    return api


def _absent(store: Store, key: str) -> Problem:
    """Google says 403 of what is not yours. An id of its form that was never here is taken for such a one."""
    if _GOOGLE_ID.match(key) and key not in store.deleted:
        return Problem(403, "PERMISSION_DENIED", "The caller does not have permission")
    return Problem(404, "NOT_FOUND", "Requested entity was not found.")


def reply(answer: Any, status: int = 200) -> Response:
    """A JSON answer; the query's `fields` mask is applied."""
    return Response(orjson.dumps(answer), status, content_type="application/json; charset=UTF-8")


def error_reply(problem: Problem) -> Response:
    error: Json = {"code": problem.code, "message": str(problem), "status": problem.status}
    if problem.details:
        error["details"] = problem.details
    return reply({"error": error}, problem.code)


def masked(answer: Json) -> Response:
    """An answer, with what the query's `fields` names of it."""
    tree = _mask()
    return reply(answer if tree is None else mask.keep(answer, tree))


def _mask() -> mask.Mask | None:
    text = request.args.get("fields")
    if not text:
        return None
    try:
        return mask.parse(text)
    except mask.BadMask:
        raise invalid(f"Request contains an invalid argument: fields={text}") from None


def _flag(name: str, body: Json | None = None) -> bool:
    value = body.get(name) if body is not None else request.args.get(name, "false")
    return value if isinstance(value, bool) else str(value).lower() == "true"


def _choice(name: str, value: str | None, allowed: tuple[str, ...], default: str | None) -> str:
    if value is None and default is not None:
        return default
    if value is None:
        raise invalid(f"'{name}' is required but not specified")
    if value not in allowed:
        raise invalid(f"Invalid value at '{name}', \"{value}\"")
    return value


def _body(method: str = "") -> Json:
    """The call's body, held with its query against what the method takes."""
    if method:
        wire.check_query(method, request.args)
    raw = request.get_data()
    if not raw.strip():
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as bad:
        raise invalid(f"Invalid JSON payload received. {bad}") from None
    if not isinstance(body, dict):
        raise invalid('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    return wire.check_body(method, body) if method else body


def _violations(faults: list[wire.Fault]) -> list[Json]:
    kept = [{**({"field": f.field} if f.field else {}), "description": f.words} for f in faults]
    return [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": kept}]


class _Sheets:
    """spreadsheets and spreadsheets.values."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def seen(self, key: str) -> Book:
        """The workbook that a read is answered from: as it stands, or an older one where a test asks for that."""
        older: Book | None = request.environ.get(STALE)
        return older if older is not None and older.spreadsheet_id == key else self.store.book(key)

    def register(self, api: Blueprint) -> None:
        root = "/v4/spreadsheets"
        for rule, method, view in (
            (root, "POST", self.create),
            (f"{root}/<key>", "GET", self.get),
            (f"{root}/<key>:getByDataFilter", "POST", self.get_by_filter),
            (f"{root}/<key>:batchUpdate", "POST", self.batch_update),
            (f"{root}/<key>/values:batchGet", "GET", self.values_batch_get),
            (f"{root}/<key>/values:batchGetByDataFilter", "POST", self.values_get_by_filter),
            (f"{root}/<key>/values:batchUpdate", "POST", self.values_batch_update),
            (f"{root}/<key>/values:batchClear", "POST", self.values_batch_clear),
            (f"{root}/<key>/values/<path:where>", "GET", self.values_get),
            (f"{root}/<key>/values/<path:where>", "PUT", self.values_update),
            (f"{root}/<key>/values/<path:where>", "POST", self.values_post),
            (f"{root}/<key>/developerMetadata:search", "POST", self.metadata_search),
            (f"{root}/<key>/developerMetadata/<int:number>", "GET", self.metadata_get),
            (f"{root}/<key>/sheets/<int:number>:copyTo", "POST", self.copy_to),
        ):
            api.add_url_rule(rule, f"{view.__name__}_{method}", view, methods=[method])

    # spreadsheets

    def create(self) -> Response:
        body = _body("spreadsheets.create")
        wanted = dict(body.get("properties") or {})
        title = wanted.pop("title", None) or "Untitled spreadsheet"
        tabs = [sheet.get("properties") or {} for sheet in body.get("sheets") or ()] or [{"title": "Sheet1"}]
        return masked(answers.spreadsheet(book := self.store.create(title, tabs=tabs, properties=wanted), _url(book)))

    def get(self, key: str) -> Response:
        wire.check_query("spreadsheets.get", request.args)
        book = self.seen(key)
        places = [area_in(book, text) for text in request.args.getlist("ranges")]
        return reply(answers.spreadsheet(book, _url(book), places, _flag("includeGridData"), _mask()))

    def get_by_filter(self, key: str) -> Response:
        body, book = _body("spreadsheets.getByDataFilter"), self.seen(key)
        places = [_filter_place(book, item) for item in body.get("dataFilters") or ()]
        return reply(answers.spreadsheet(book, _url(book), places, _flag("includeGridData", body), _mask()))

    def batch_update(self, key: str) -> Response:
        body = _body("spreadsheets.batchUpdate")
        requests = body.get("requests") or []
        if not requests:
            self.store.book(key)
            raise invalid("Must specify at least one request.")
        applied = self.store.apply(key, requests)
        answer: Json = {"spreadsheetId": key, "replies": applied.replies}
        if _flag("includeSpreadsheetInResponse", body):
            places = [area_in(applied.book, text) for text in body.get("responseRanges") or ()]
            below = (_mask() or {}).get("updatedSpreadsheet") or None
            grid = _flag("responseIncludeGridData", body)
            answer["updatedSpreadsheet"] = answers.spreadsheet(applied.book, _url(applied.book), places, grid, below)
        return masked(answer)

    def copy_to(self, key: str, number: int) -> Response:
        wanted = _body("spreadsheets.sheets.copyTo")
        source = self.store.book(key).tab(number)
        if source is None:
            raise invalid(f"No sheet with id: {number}")
        if wanted.get("destinationSpreadsheetId") != key:
            raise invalid("The local sheet copies tabs within one spreadsheet only.")
        made = self.store.apply(key, [{"duplicateSheet": {"sourceSheetId": number, "insertSheetIndex": 10**6}}])
        return masked(made.replies[0]["duplicateSheet"]["properties"])

    # values

    def _read(self, book: Book, tab: Tab, box: Box, options: Any) -> Json:
        render = _choice("valueRenderOption", options.get("valueRenderOption"), RENDER, "FORMATTED_VALUE")
        major = _choice("majorDimension", options.get("majorDimension"), ("ROWS", "COLUMNS"), "ROWS")
        kinds = ("SERIAL_NUMBER", "FORMATTED_STRING")
        return rendering.value_range(
            tab,
            box,
            render,
            major,
            _choice("dateTimeRenderOption", options.get("dateTimeRenderOption"), kinds, kinds[0]),
            book.locale,
        )

    def values_get(self, key: str, where: str) -> Response:
        wire.check_query("spreadsheets.values.get", request.args)
        book = self.seen(key)
        return masked(self._read(book, *area_in(book, where), request.args))

    def values_batch_get(self, key: str) -> Response:
        wire.check_query("spreadsheets.values.batchGet", request.args)
        book = self.seen(key)
        ranges = [self._read(book, *area_in(book, text), request.args) for text in request.args.getlist("ranges")]
        return masked({"spreadsheetId": key} | ({"valueRanges": ranges} if ranges else {}))

    def values_get_by_filter(self, key: str) -> Response:
        body, book = _body("spreadsheets.values.batchGetByDataFilter"), self.seen(key)
        filters = body.get("dataFilters") or []
        read = [(self._read(book, *_filter_place(book, item), body), item) for item in filters]
        matched = [{"valueRange": values, "dataFilters": [item]} for values, item in read]
        return masked({"spreadsheetId": key} | ({"valueRanges": matched} if matched else {}))

    def values_update(self, key: str, where: str) -> Response:
        body = _body("spreadsheets.values.update")
        if body.get("range") not in (None, where):
            raise invalid(f"Requested writing within range [{where}], but the body names [{body['range']}].")
        option = _choice("valueInputOption", request.args.get("valueInputOption"), INPUT, None)
        answer = self._write(key, [(where, body)], option, request.args, _flag("includeValuesInResponse"))
        return masked(answer[0])

    def values_batch_update(self, key: str) -> Response:
        body = _body("spreadsheets.values.batchUpdate")
        option = _choice("valueInputOption", body.get("valueInputOption"), INPUT, None)
        writes = [(item.get("range") or "", item) for item in body.get("data") or ()]
        options = {k.replace("responseV", "v").replace("responseD", "d"): v for k, v in body.items()}
        done = self._write(key, writes, option, options, _flag("includeValuesInResponse", body))
        names = {"Rows", "Columns", "Cells"}
        totals = {f"totalUpdated{name}": sum(item.get(f"updated{name}", 0) for item in done) for name in names}
        sheets = len({item["updatedRange"].rpartition("!")[0] for item in done})
        answer = {"spreadsheetId": key, **totals, "totalUpdatedSheets": sheets, "responses": done}
        return masked({name: part for name, part in answer.items() if part})

    def _write(
        self, key: str, writes: list[tuple[str, Json]], option: str, options: Any, with_values: bool
    ) -> list[Json]:
        book = self.store.book(key)
        prepared = [_Write(book, where, body) for where, body in writes]
        applied = self.store.apply(key, [item.request(option) for item in prepared]) if prepared else None
        done = []
        for item in prepared:
            answer = {"spreadsheetId": key, **item.counts()}
            if with_values and applied:
                tab = applied.book.tab(item.tab.sheet_id)
                assert tab is not None
                render = {
                    "valueRenderOption": options.get("responseValueRenderOption") or options.get("valueRenderOption"),
                    "dateTimeRenderOption": options.get("responseDateTimeRenderOption"),
                    "majorDimension": item.body.get("majorDimension"),
                }
                answer["updatedData"] = self._read(applied.book, tab, item.box, render)
            done.append(answer)
        return done

    def values_post(self, key: str, where: str) -> Response:
        where, _, verb = where.rpartition(":")
        if verb == "append":
            return self._append(key, where)
        if verb == "clear":
            _body("spreadsheets.values.clear")
            return masked({"spreadsheetId": key, "clearedRange": self._clear(key, [where])[0]})
        raise Problem(404, "NOT_FOUND", "Method not found.")

    def _append(self, key: str, where: str) -> Response:
        body = _body("spreadsheets.values.append")
        option = _choice("valueInputOption", request.args.get("valueInputOption"), INPUT, None)
        insert = _choice(
            "insertDataOption", request.args.get("insertDataOption"), ("OVERWRITE", "INSERT_ROWS"), "OVERWRITE"
        )
        book = self.store.book(key)
        tab, box = area_in(book, where)
        table = _table(tab, box)
        at = (table.r1, table.c0) if table else (box.r0, box.c0)
        item = _Write(book, where, body, tab, at)
        requests = [
            *_room(tab, at[0], item.box.height, insert == "INSERT_ROWS" and table is not None),
            item.request(option),
        ]
        applied = self.store.apply(key, requests)
        updates = {"spreadsheetId": key, **item.counts()}
        if _flag("includeValuesInResponse"):
            fresh = applied.book.tab(tab.sheet_id)
            assert fresh is not None
            options = {"valueRenderOption": request.args.get("responseValueRenderOption")}
            updates["updatedData"] = self._read(applied.book, fresh, item.box, options)
        found = {"tableRange": a1.name_of(tab.title, table)} if table else {}
        return masked({"spreadsheetId": key, **found, "updates": updates})

    def values_batch_clear(self, key: str) -> Response:
        return masked(
            {
                "spreadsheetId": key,
                "clearedRanges": self._clear(key, _body("spreadsheets.values.batchClear").get("ranges") or []),
            }
        )

    def _clear(self, key: str, ranges: list[str]) -> list[str]:
        book = self.store.book(key)
        places = [area_in(book, text) for text in ranges]
        wanted = [
            {"updateCells": {"range": _grid_range(tab, box), "fields": "userEnteredValue"}} for tab, box in places
        ]
        if wanted:
            self.store.apply(key, wanted)
        return [a1.name_of(tab.title, box) for tab, box in places]

    # developer metadata

    def metadata_get(self, key: str, number: int) -> Response:
        found = self.seen(key).metadata.get(number)
        if found is None:
            raise Problem(404, "NOT_FOUND", f"No developer metadata with id: {number}")
        return masked(found)

    def metadata_search(self, key: str) -> Response:
        filters = [
            f
            for f in _body("spreadsheets.developerMetadata.search").get("dataFilters") or ()
            if "developerMetadataLookup" in f
        ]
        matched = []
        for item in self.seen(key).metadata.values():
            hits = [f for f in filters if matches(item, f["developerMetadataLookup"])]
            if hits:
                matched.append({"developerMetadata": item, "dataFilters": hits})
        return masked({"matchedDeveloperMetadata": matched} if matched else {})


def _url(book: Book) -> str:
    return f"{request.host_url}spreadsheets/d/{book.spreadsheet_id}/edit"


def _grid_range(tab: Tab, box: Box) -> Json:
    return {
        "sheetId": tab.sheet_id,
        "startRowIndex": box.r0,
        "endRowIndex": box.r1,
        "startColumnIndex": box.c0,
        "endColumnIndex": box.c1,
    }


def _filter_place(book: Book, item: Json) -> tuple[Tab, Box]:
    if "a1Range" in item:
        return area_in(book, item["a1Range"])
    where = item.get("gridRange")
    tab = book.tab(where.get("sheetId") or 0) if where is not None else None
    if where is None or tab is None:
        raise invalid("a dataFilter must name an a1Range or the gridRange of a tab.")
    area = a1.Area(
        where.get("startRowIndex") or 0,
        where.get("endRowIndex"),
        where.get("startColumnIndex") or 0,
        where.get("endColumnIndex"),
    )
    return tab, area.within(len(tab.values), len(tab.columns))


def _table(tab: Tab, box: Box) -> Box | None:
    """The table that an append adds to: the last block of filled rows in the range, from its first filled column on."""
    rows = [
        r for r in range(box.r0, min(box.r1, tab.used_rows())) if any(v != "" for v in tab.values[r][box.c0 : box.c1])
    ]
    if not rows:
        return None
    first = last = rows[-1]
    while first - 1 >= 0 and tab.values[first - 1]:
        first -= 1
    while last + 1 < len(tab.values) and tab.values[last + 1]:
        last += 1
    block = tab.values[first : last + 1]
    c0 = min(next(i for i, v in enumerate(row) if v != "") for row in block)
    return Box(first, last + 1, c0, max(len(row) for row in block))


def _room(tab: Tab, at: int, height: int, insert: bool) -> list[Json]:
    """The rows that an append needs and the grid does not have."""
    if insert and at < len(tab.values):
        where = {"sheetId": tab.sheet_id, "dimension": "ROWS", "startIndex": at, "endIndex": at + height}
        return [{"insertDimension": {"range": where, "inheritFromBefore": at > 0}}]
    missing = at + height - len(tab.values)
    return (
        [{"appendDimension": {"sheetId": tab.sheet_id, "dimension": "ROWS", "length": missing}}] if missing > 0 else []
    )


class _Write:
    """One ValueRange to be written: checked, turned into rows, and counted as Google counts it."""

    def __init__(
        self, book: Book, where: str, body: Json, tab: Tab | None = None, at: tuple[int, int] | None = None
    ) -> None:
        self.body = body
        self.rows = _rows(body)
        given: Box | None = None
        if tab is None or at is None:
            tab, given = area_in(book, where)
            at = given.r0, given.c0
        self.tab = tab
        width = max((len(row) for row in self.rows), default=0)
        self.box = Box(at[0], at[0] + max(len(self.rows), 1), at[1], at[1] + max(width, 1))
        if given and not self.rows:
            self.box = given
        if given:
            self._check(given, where)

    def _check(self, given: Box, where: str) -> None:
        single = a1.area_of(a1.split(where)[1] or "") and given.height == 1 and given.width == 1
        if not single and (self.box.r1 > given.r1 or self.box.c1 > given.c1):
            beyond = f"row [{given.r1 + 1}]" if self.box.r1 > given.r1 else f"column [{a1.letters(given.c1)}]"
            raise invalid(
                f"Requested writing within range [{a1.name_of(self.tab.title, given)}], but tried writing to {beyond}"
            )
        rows, columns = len(self.tab.values), len(self.tab.columns)
        if self.box.r1 > rows or self.box.c1 > columns:
            name = a1.name_of(self.tab.title, self.box)
            raise invalid(f"Range ({name}) exceeds grid limits. Max rows: {rows}, max columns: {columns}")

    def request(self, option: str) -> Json:
        place = {"sheetId": self.tab.sheet_id, "rowIndex": self.box.r0, "columnIndex": self.box.c0}
        return {"enterValues": {**place, "rows": self.rows, "typed": option == "USER_ENTERED"}}

    def counts(self) -> Json:
        filled = [[i for i, value in enumerate(row) if value is not None] for row in self.rows]
        counts = {
            "updatedRows": sum(1 for row in filled if row),
            "updatedColumns": len({i for row in filled for i in row}),
            "updatedCells": sum(len(row) for row in filled),
        }
        return {"updatedRange": a1.name_of(self.tab.title, self.box), **{name: n for name, n in counts.items() if n}}


def _rows(body: Json) -> list[list[Any]]:
    values = body.get("values")
    if values is None:
        return []
    if not isinstance(values, list):
        raise _bad_list("data.values", values)
    for index, row in enumerate(values):
        if not isinstance(row, list):
            raise _bad_list(f"data.values[{index}]", row)
        for column, value in enumerate(row):
            if isinstance(value, (dict, list)):
                raise invalid(
                    f"Invalid values[{index}][{column}]: {'struct' if isinstance(value, dict) else 'list'}_value"
                )
    if body.get("majorDimension") == "COLUMNS":
        height = max((len(column) for column in values), default=0)
        return [[column[r] if r < len(column) else None for column in values] for r in range(height)]
    return values


def _bad_list(field: str, value: Any) -> Problem:
    shown = orjson.dumps(value).decode()
    words = f"Invalid value at '{field}' (type.googleapis.com/google.protobuf.ListValue), {shown}"
    return invalid(words, _violations([wire.Fault(field, words)]))


class _Drive:
    """files and permissions, as far as gspread goes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def register(self, api: Blueprint) -> None:
        root = "/drive/v3/files"
        for rule, method, view in (
            (root, "POST", self.create),
            (root, "GET", self.list),
            (f"{root}/<key>", "GET", self.get),
            (f"{root}/<key>", "PATCH", self.rename),
            (f"{root}/<key>", "DELETE", self.delete),
            (f"{root}/<key>/copy", "POST", self.copy),
            (f"{root}/<key>/comments", "GET", self.comments),
            (f"{root}/<key>/permissions", "GET", self.permissions),
            (f"{root}/<key>/permissions", "POST", self.permit),
            (f"{root}/<key>/permissions/<permission>", "DELETE", self.withdraw),
        ):
            api.add_url_rule(rule, f"drive_{view.__name__}", view, methods=[method])

    def _file(self, book: Book, default: tuple[str, ...] = ("kind", "id", "name", "mimeType")) -> Json:
        file = {
            "kind": "drive#file",
            "id": book.spreadsheet_id,
            "name": book.properties["title"],
            "mimeType": SPREADSHEET,
            "createdTime": _time(book.created),
            "modifiedTime": _time(book.modified),
            "webViewLink": _url(book),
            "ownedByMe": True,
            "trashed": False,
            "owners": [{"kind": "drive#user", "displayName": "you", "me": True, "emailAddress": self.store.owner}],
        }
        tree = _mask()
        kept: Json = mask.keep(file, tree) if tree else {name: file[name] for name in default}
        return kept

    def create(self) -> Response:
        body = _body()
        if body.get("mimeType") not in (None, SPREADSHEET):
            raise invalid(f"The local drive keeps spreadsheets only, not {body['mimeType']}.")
        return reply(self._file(self.store.create(body.get("name") or "Untitled")))

    def list(self) -> Response:
        wanted = re.search(r"name\s*=\s*(['\"])(.*?)(?<!\\)\1", request.args.get("q", ""))
        name = re.sub(r"\\(.)", r"\1", wanted[2]) if wanted else None
        books = [book for book in self.store.books() if name is None or book.properties["title"] == name]
        tree = _mask()
        files = [self._file_listed(book, (tree or {}).get("files")) for book in books]
        answer = {"kind": "drive#fileList", "incompleteSearch": False, "files": files}
        return reply(mask.keep(answer, tree) if tree else answer)

    def _file_listed(self, book: Book, below: mask.Mask | None) -> Json:
        file = {
            "kind": "drive#file",
            "id": book.spreadsheet_id,
            "name": book.properties["title"],
            "mimeType": SPREADSHEET,
        }
        times = {"createdTime": _time(book.created), "modifiedTime": _time(book.modified)}
        kept: Json = mask.keep(file | times, below) if below else file
        return kept

    def get(self, key: str) -> Response:
        return reply(self._file(self.store.book(key)))

    def rename(self, key: str) -> Response:
        name = _body().get("name")
        if name:
            self.store.apply(key, [{"updateSpreadsheetProperties": {"properties": {"title": name}, "fields": "title"}}])
        return reply(self._file(self.store.book(key)))

    def delete(self, key: str) -> Response:
        self.store.delete(key)
        return Response(status=204)

    def copy(self, key: str) -> Response:
        return reply(self._file(self.store.copy(key, _body().get("name"))))

    def comments(self, key: str) -> Response:
        """There are none; gspread asks for them when it copies."""
        self.store.book(key)
        return masked({"kind": "drive#commentList", "comments": []})

    def permissions(self, key: str) -> Response:
        self.store.book(key)
        return reply(
            {"kind": "drive#permissionList", "permissions": [self._permission("owner", self.store.owner, "owner")]}
        )

    def _permission(self, number: str, address: str | None, role: str) -> Json:
        given = {"emailAddress": address} if address else {}
        return {
            "kind": "drive#permission",
            "id": number,
            "type": "user" if address else "anyone",
            "role": role,
            **given,
        }

    def permit(self, key: str) -> Response:
        """Whoever reaches this server may do everything already: acknowledged, and not kept."""
        self.store.book(key)
        body = _body()
        return reply(self._permission(secrets.token_hex(8), body.get("emailAddress"), body.get("role") or "reader"))

    def withdraw(self, key: str, permission: str) -> Response:
        self.store.book(key)
        return Response(status=204)


def _time(iso: str) -> str:
    return datetime.fromisoformat(iso).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
