"""Developer metadata: kept for the workbook, a tab, a row or a column, and carried along with it."""

from __future__ import annotations

from collections.abc import Callable

from sheets_sync.sandbox.sheet import mask
from sheets_sync.sandbox.sheet.draft import Draft, Refused, mask_of
from sheets_sync.sandbox.sheet.grid import Json

Place = Callable[[int], int | None]


def _place_of(metadata: Json) -> Json:
    place: Json = metadata.get("location") or {}
    return place


def tab_of(metadata: Json) -> int | None:
    place = _place_of(metadata)
    if "dimensionRange" in place:
        return place["dimensionRange"].get("sheetId") or 0
    return place.get("sheetId") if "sheetId" in place else None


def carry(draft: Draft, sheet_id: int, dimension: str, place: Place) -> None:
    """Metadata of a row or column follows it, and vanishes with it."""
    for key, metadata in list(draft.book.metadata.items()):
        span = _place_of(metadata).get("dimensionRange")
        if not span or (span.get("sheetId") or 0) != sheet_id or span.get("dimension") != dimension:
            continue
        moved = place(span.get("startIndex") or 0)
        if moved is None:
            del draft.book.metadata[key]
        else:
            span = {**span, "startIndex": moved, "endIndex": moved + 1}
            draft.book.metadata[key] = {**metadata, "location": {**_place_of(metadata), "dimensionRange": span}}


def create_metadata(draft: Draft, body: Json) -> Json:
    wanted = body["developerMetadata"]
    key = wanted.get("metadataId") or draft.fresh_id()
    if key in draft.book.metadata:
        raise Refused(f"A developer metadata with id {key} already exists.")
    if not wanted.get("metadataKey") or wanted.get("visibility") not in ("DOCUMENT", "PROJECT"):
        raise Refused("metadataKey and visibility are required.")
    place = wanted.get("location") or {}
    if "dimensionRange" in place:
        span = place["dimensionRange"]
        if (span.get("endIndex") or 0) - (span.get("startIndex") or 0) != 1:
            raise Refused("location.dimensionRange must span one row or column.")
        draft.look(span.get("sheetId") or 0)
        location = {"locationType": "ROW" if span.get("dimension") == "ROWS" else "COLUMN", "dimensionRange": span}
    elif "sheetId" in place:
        location = {"locationType": "SHEET", "sheetId": draft.look(place["sheetId"]).sheet_id}
    else:
        location = {"locationType": "SPREADSHEET", "spreadsheet": True}
    draft.book.metadata[key] = {**wanted, "metadataId": key, "location": location}
    return {"createDeveloperMetadata": {"developerMetadata": draft.book.metadata[key]}}


def matches(metadata: Json, lookup: Json) -> bool:
    """Whether a DeveloperMetadataLookup finds this metadata."""
    for name in ("metadataId", "metadataKey", "metadataValue", "visibility"):
        if lookup.get(name) is not None and metadata.get(name) != lookup[name]:
            return False
    kind = lookup.get("locationType")
    return kind is None or _place_of(metadata).get("locationType") == kind


def _found_metadata(draft: Draft, body: Json) -> list[int]:
    lookups = [f["developerMetadataLookup"] for f in body.get("dataFilters") or [] if "developerMetadataLookup" in f]
    if not lookups:
        raise Refused("dataFilters must hold a developerMetadataLookup.")
    return [key for key, item in draft.book.metadata.items() if any(matches(item, lookup) for lookup in lookups)]


def update_metadata(draft: Draft, body: Json) -> Json:
    tree, changed = mask_of(body, "developerMetadata"), []
    for key in _found_metadata(draft, body):
        draft.book.metadata[key] = {
            **mask.merge(draft.book.metadata[key], body["developerMetadata"], tree),
            "metadataId": key,
        }
        changed.append(draft.book.metadata[key])
    return {"updateDeveloperMetadata": {"developerMetadata": changed}}


def delete_metadata(draft: Draft, body: Json) -> Json:
    found = _found_metadata(draft, {"dataFilters": [body["dataFilter"]]})
    return {"deleteDeveloperMetadata": {"deletedDeveloperMetadata": [draft.book.metadata.pop(key) for key in found]}}
