"""What each request of a `spreadsheets.batchUpdate` does to a workbook.

`run(draft, requests)` changes the draft in order and returns the replies; `draft.finish()` gives the next book. One
request that is refused raises `Refused`, and the draft is thrown away: nothing was applied. Words of refusals are
Google's where they were recorded or seen (kept in tests), else in its manner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sheets_sync.sandbox.sheet import cells, mask, metadata, ranges, tabs, undo
from sheets_sync.sandbox.sheet.draft import Draft, Refused
from sheets_sync.sandbox.sheet.grid import Json

Handler = Callable[[Draft, Json], Json | None]
KINDS: dict[str, Handler] = {
    "addConditionalFormatRule": ranges.add_conditional,
    "addNamedRange": ranges.add_named_range,
    "addProtectedRange": ranges.add_protected_range,
    "addSheet": tabs.add_sheet,
    "appendCells": cells.append_cells,
    "appendDimension": tabs.append_dimension,
    "autoResizeDimensions": tabs.auto_resize,
    "clearBasicFilter": ranges.clear_basic_filter,
    "clearCells": cells.clear_cells,
    "copyPaste": cells.copy_paste,
    "createDeveloperMetadata": metadata.create_metadata,
    "cutPaste": cells.cut_paste,
    "deleteConditionalFormatRule": ranges.delete_conditional,
    "deleteDeveloperMetadata": metadata.delete_metadata,
    "deleteDimension": tabs.delete_dimension,
    "deleteNamedRange": ranges.delete_named_range,
    "deleteProtectedRange": ranges.delete_protected_range,
    "deleteSheet": tabs.delete_sheet,
    "duplicateSheet": tabs.duplicate_sheet,
    "enterValues": cells.enter_values,
    "findReplace": cells.find_replace,
    "insertDimension": tabs.insert_dimension,
    "mergeCells": ranges.merge_cells,
    "moveDimension": tabs.move_dimension,
    "orderRows": undo.order_rows,
    "repeatCell": cells.repeat_cell,
    "restoreCells": undo.restore_cells,
    "setBasicFilter": ranges.set_basic_filter,
    "setDataValidation": ranges.set_data_validation,
    "sortRange": cells.sort_range,
    "unmergeCells": ranges.unmerge_cells,
    "updateCells": cells.update_cells,
    "updateConditionalFormatRule": ranges.update_conditional,
    "updateDeveloperMetadata": metadata.update_metadata,
    "updateDimensionProperties": tabs.update_dimension_properties,
    "updateNamedRange": ranges.update_named_range,
    "updateProtectedRange": ranges.update_protected_range,
    "updateSheetProperties": tabs.update_sheet_properties,
    "updateSpreadsheetProperties": tabs.update_spreadsheet_properties,
}
INTERNAL = frozenset({"clearCells", "enterValues", "orderRows", "restoreCells"})  # not to be had through the API


def run(draft: Draft, requests: Sequence[Json]) -> list[Json]:
    """Apply all requests in order; raises Refused with the words that name the one to blame."""
    replies, refusals = [], []
    for index, request in enumerate(requests):
        try:
            replies.append(_one(draft, index, request))
        except Refused as refused:
            if draft.unknowns.names_first_refusal:
                raise
            refusals.append(refused)
    if refusals:
        raise refusals[-1]
    return replies


def _one(draft: Draft, index: int, request: Json) -> Json:
    kinds = [kind for kind, body in request.items() if body is not None]
    if len(kinds) != 1:
        raise Refused(
            f"Invalid requests[{index}]: No request set."
            if not kinds
            else f"Invalid requests[{index}]: only one kind may be set, got {', '.join(kinds)}"
        )
    kind = kinds[0]
    handler = KINDS.get(kind)
    if handler is None:
        raise Refused(f"Invalid requests[{index}].{kind}: this kind of request is not known here.")
    try:
        return handler(draft, request[kind]) or {}
    except Refused as refused:
        raise Refused(f"Invalid requests[{index}].{kind}: {refused}") from None
    except (KeyError, TypeError, AttributeError, mask.BadMask) as malformed:
        raise Refused(f"Invalid requests[{index}].{kind}: malformed: {malformed!r}") from malformed
