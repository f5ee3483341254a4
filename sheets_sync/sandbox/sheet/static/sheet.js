// The local sheet's page: wires the grid, the fetched rows and the edits together. See docs/local-sheet.md.

import { ask as fetchJson, follow, pageId, root, send, tell } from "./wire.js";
import { Rows, carry } from "./rows.js";
import { ROW_HEIGHT, Table } from "./table.js";
import { Edits } from "./edits.js";
import { Editor } from "./editor.js";
import { blocks, joined, parse } from "./clip.js";
import { ask, closeMenu, listVersions, openFilter, openMenu } from "./panels.js";

const $ = (id) => document.getElementById(id);
const FRESH = 1600; // milliseconds for which a change made elsewhere is marked
const FLASHES = 400; // changed cells that are marked; more than these is a sort, and all of it moved
const EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

const fresh = new Map(); // "row:column" -> until when it is marked
let mine = new Set(); // cells that this page wrote: nothing new to whoever typed them
let copied = null; // whole rows on the clipboard: {text, sheetId, base, rows}
let found = { text: "", cells: [], at: -1 };

const rows = new Rows({ sight: () => table.sight(), drawn, trouble });
const edits = new Edits({ rows, ask: askProtected, changed: drawState, saved });
const table = new Table($("grid"), rows, mark, {
  cursor: showCursor, selection: showSelection, open: () => openEditor(), tick, menu: openContext, funnel: filterColumn, resized,
});
const editor = new Editor(table, {
  done: (row, column, text) => write([[row, [[column, text]]]]),
  typed: (text) => { if (document.activeElement !== $("formula")) $("formula").value = text ?? activeText(); },
  left: (down, across) => { table.focus(); if (down || across) table.step(down, across); },
});

// --- drawing

function mark(row, column) {
  const place = `${row}:${column}`;
  const unsaved = edits.mark(row, column);
  const until = fresh.get(place);
  if (until && until < Date.now()) fresh.delete(place);
  return unsaved || (until > Date.now() ? { fresh: true } : null);
}

function drawn({ other, torn, changed, moves, news, before, start, end }) {
  $("title").textContent = rows.view.title;
  document.title = `${rows.view.title} – local sheet`;
  const now = rows.sheet;
  const shape = (s) => JSON.stringify([s.id, s.columns, s.frozenRows, s.frozenColumns, s.merges, s.filter]);
  const rebuilt = other || !table.grid || shape(before.sheet) !== shape(now);
  const cursor = moves.length && table.active ? carriedCursor(before.sheet, moves) : null;
  if (moves.length) edits.carry(moves);
  remember(news, moves);
  if (rebuilt) {
    if (other) edits.reloaded(torn, editor.take(), before?.sheet.id);
    table.build(!other || before?.sheet.id === now.id);
  } else {
    if (before.sheet.shownRows !== now.shownRows) table.resized();
    if (moves.length || before.sheet.shownRows !== now.shownRows || JSON.stringify(before.sheet.runs) !== JSON.stringify(now.runs)) table.redraw();
    else table.redraw(start, end);
  }
  if (cursor) placeCursor(cursor, before.sheet, moves);
  if (changed) {
    drawTabs();
    if (!$("versions").hidden) showVersions();
  }
  const shown = now.shownRows === now.rowCount ? "" : `${now.shownRows.toLocaleString("en")} shown of `;
  $("size").textContent = `${shown}${now.rowCount.toLocaleString("en")} rows`;
  $("filter").setAttribute("aria-pressed", String(Boolean(now.filter)));
  lost = "";
  drawState();
  showCursor();
}

let lost = "";
let again = null;

function trouble(problem) {
  lost = problem.status === 404 ? "this spreadsheet was deleted" : problem.message;
  drawState();
  clearTimeout(again);
  if (problem.status !== 404) again = setTimeout(() => rows.check(), 2000);
}

// What others changed is marked for a moment, in the cells that were on the screen.
function remember(news, moves) {
  if (moves.length) fresh.clear();
  const text = (cell) => (cell?.k === "check" ? String(cell.v) : cell?.t ?? "");
  const changed = [];
  for (const [old, row] of news) {
    row.c.forEach((cell, c) => {
      const place = `${row.i}:${rows.sheet.columns[c]?.i}`;
      if ((old ? text(old.c[c]) !== text(cell) : moves.length && text(cell)) && !mine.has(place)) changed.push(place);
    });
  }
  if (!changed.length || changed.length > FLASHES) return;
  for (const place of changed) fresh.set(place, Date.now() + FRESH);
  setTimeout(() => table.redraw(), FRESH + 50);
}

function carriedCursor(sheet, moves) {
  const range = table.selection();
  const { row, cell } = table.active;
  return {
    row: carry(rowAt(sheet, row), moves, "ROWS"), column: carry(sheet.columns[cell - 1]?.i ?? 0, moves, "COLUMNS"),
    r0: range && carry(rowAt(sheet, range.r0), moves, "ROWS"), r1: range && carry(rowAt(sheet, range.r1), moves, "ROWS"),
    c0: range?.c0, c1: range?.c1, top: rowAt(sheet, table.sight()[0] + sheet.frozenRows),
  };
}

function rowAt(sheet, at) {
  for (const [start, end] of sheet.runs) {
    if (at < end - start) return start + at;
    at -= end - start;
  }
  return sheet.rowCount + at;
}

function placeCursor(cursor, sheet, moves) {
  if (cursor.row === null || cursor.column === null) {
    if (editor.open) say("The row that you are typing in was deleted by someone else.");
    return;
  }
  const cell = Math.max(1, table.cellOf(cursor.column));
  const range = cursor.r0 !== null && cursor.r1 !== null && cursor.r0 !== undefined ? { r0: rows.placeOf(cursor.r0), r1: rows.placeOf(cursor.r1), c0: cursor.c0, c1: cursor.c1 } : null;
  const pane = table.pane();
  const top = carry(cursor.top, moves, "ROWS");
  if (pane.scrollTop > 0 && top !== null) pane.scrollTop += (top - cursor.top) * ROW_HEIGHT;
  table.select(rows.placeOf(cursor.row), cell, range, false);
  editor.carry(cursor.row, cursor.column);
}

function drawTabs() {
  $("tabs").replaceChildren(...rows.view.tabs.map((tab) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: tab.title });
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(tab.id === rows.sheet.id));
    button.tabIndex = tab.id === rows.sheet.id ? 0 : -1;
    if (tab.colour) button.style.borderBottomColor = tab.colour;
    button.onclick = () => show(tab.id);
    button.ondblclick = renameTab;
    button.oncontextmenu = async (event) => {
      event.preventDefault();
      await show(tab.id);
      openMenu(button, tabItems(), { x: event.clientX, y: event.clientY - 120 }, () => table.focus());
    };
    return button;
  }));
}

function drawState() {
  const state = $("state");
  const n = edits.failed.length;
  [state.textContent, state.className] = lost ? [`Not connected: ${lost}`, "bad"] : n ? [`${n === 1 ? "1 edit is" : `${n} edits are`} not saved`, "bad"]
    : edits.busy ? ["Saving…", "busy"] : rows.version !== null ? ["An old version", "busy"] : ["All changes saved", ""];
  $("undo").disabled = !edits.undoable || rows.version !== null;
  $("redo").disabled = !edits.redoable || rows.version !== null;
  $("unsaved").hidden = !n;
  if (n) $("unsaved").firstElementChild.textContent = `Not saved: ${edits.failed.at(-1).problem.replace(/\.?$/, ".")} What you typed is kept here until you decide.`;
  if (table.grid) table.redraw();
}

function say(text) {
  $("say").textContent = text;
  $("say").classList.remove("hidden");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => $("say").classList.add("hidden"), 6000);
}

// --- cursor

const activeRow = () => table.active && rows.get(table.active.row);
const activeCell = () => activeRow()?.c[table.active.cell - 1] ?? null;
const editText = (cell) => (!cell ? "" : cell.k === "check" ? String(cell.v).toUpperCase() : cell.e ?? cell.t ?? "");
const shownText = (cell) => (!cell ? "" : cell.k === "check" ? String(cell.v).toUpperCase() : cell.t ?? "");

function activeText() {
  const at = activePlace();
  return (at && edits.mark(at.row, at.column)?.text) ?? editText(activeCell());
}

function activePlace() {
  const at = table.active;
  return at && table.columnOf(at.cell) ? { row: rows.rowAt(at.row), column: table.columnOf(at.cell).i, name: `${table.columnOf(at.cell).name}${rows.rowAt(at.row) + 1}` } : null;
}

let spoken = "";

function showCursor() {
  const at = rows.view && activePlace();
  if (!at) return;
  $("where").value = at.name;
  if (document.activeElement !== $("formula") && !editor.open) $("formula").value = activeText();
  const heading = rows.sheet.frozenRows ? shownText(rows.get(rows.sheet.frozenRows - 1)?.c[table.active.cell - 1]) : "";
  const column = table.columnOf(table.active.cell);
  const words = `${at.name}${heading ? `, ${heading}` : ""}: ${shownText(activeCell()) || "empty"}${column.lock ? `. ${column.lock}` : ""}`;
  if (words !== spoken) $("spoken").textContent = spoken = words;
  showSelection();
}

function showSelection() {
  const block = table.selection();
  if (!block || !rows.view) return;
  for (const head of $("grid").querySelectorAll(".slick-header-column")) {
    const c = table.grid.getColumns().findIndex((column) => head.id.endsWith(column.id));
    head.classList.toggle("on", c >= block.c0 && c <= block.c1);
  }
  const size = (block.r1 - block.r0 + 1) * (block.c1 - block.c0 + 1);
  $("sum").textContent = "";
  if (size < 2 || size > 50000 || !rows.loaded(block.r0, block.r1)) return;
  const numbers = [];
  for (let r = block.r0; r <= block.r1; r++) for (let c = block.c0; c <= block.c1; c++) {
    const cell = rows.get(r).c[c - 1];
    if (cell?.r && cell.k !== "check" && cell.t && Number.isFinite(Number(cell.t.replaceAll(",", "")))) numbers.push(Number(cell.t.replaceAll(",", "")));
  }
  if (numbers.length > 1) $("sum").textContent = `Sum ${numbers.reduce((a, b) => a + b, 0).toLocaleString("en")} · ${numbers.length} numbers`;
}

function show(sheetId) {
  editor.end(true);
  closeMenu();
  history.replaceState(null, "", `#gid=${sheetId}`);
  found = { text: "", cells: [], at: -1 };
  table.focus(); // what is typed while the tab is on its way is not lost
  return rows.show(sheetId, rows.version).then(() => table.focus());
}

// --- editing

function past() {
  if (rows.version === null) return false;
  say("This is an old version. Restore it, or go back to today to edit.");
  return true;
}

function openEditor(start) {
  const at = activePlace();
  const cell = activeCell();
  if (!at || past() || editor.open) return;
  if (cell?.k === "check") return tick();
  if (!activeRow()) return;
  table.grid.scrollCellIntoView(table.active.row, table.active.cell, false);
  editor.begin(cell, { ...at, text: activeText(), start });
}

// places: [[row, [[column, text]…]]…]
function write(places, cells) {
  if (past() || !places.length) return Promise.resolve(null);
  cells ??= places.flatMap(([row, line]) => line.map(([column, text]) => [row, column, text]));
  mine = new Set(cells.map(([row, column]) => `${row}:${column}`));
  return edits.make(blocks(rows.sheet.id, places), cells);
}

const act = (...requests) => (past() ? Promise.resolve(null) : edits.make(requests));

async function saved(answer) {
  rows.hear(`${rows.view.epoch}:${answer.revision}`);
  await rows.look();
  mine = new Set();
}

function tick() {
  const cell = activeCell();
  const at = activePlace();
  if (cell?.k === "check") write([[at.row, [[at.column, cell.v ? "FALSE" : "TRUE"]]]]);
}

// The selection's cells by the sheet's own numbers, as runs of rows and of columns that are side by side: what is hidden
// between them is not touched.
function chosen() {
  const block = table.selection();
  if (!block) return null;
  const lanes = (from, to, number) => {
    const runs = [];
    for (let at = from; at <= to; at++) {
      const n = number(at);
      if (runs.length && runs.at(-1)[1] === n) runs.at(-1)[1] = n + 1;
      else runs.push([n, n + 1]);
    }
    return runs;
  };
  const down = rows.sheet.runs.length === 1 ? [[rows.rowAt(block.r0), rows.rowAt(block.r1) + 1]] : lanes(block.r0, block.r1, (at) => rows.rowAt(at));
  return { block, down, across: lanes(block.c0, block.c1, (at) => table.columnOf(at).i) };
}

const range = ([r0, r1], [c0, c1]) => ({ sheetId: rows.sheet.id, startRowIndex: r0, endRowIndex: r1, startColumnIndex: c0, endColumnIndex: c1 });

function clear() {
  const area = chosen();
  if (area) act(...area.down.flatMap((down) => area.across.map((across) => ({ clearCells: { range: range(down, across) } }))));
}

function fillDown() {
  const area = chosen();
  if (!area) return;
  const first = area.down[0][0];
  const single = area.block.r0 === area.block.r1;
  if (single && first === 0) return;
  const source = single ? first - 1 : first;
  const targets = single ? area.down : [[first + 1, area.down[0][1]], ...area.down.slice(1)].filter(([a, b]) => b > a);
  act(...targets.flatMap((down) => area.across.map((across) => ({ copyPaste: { source: range([source, source + 1], across), destination: range(down, across) } }))));
}

// --- clipboard

document.addEventListener("copy", (event) => copy(event, false));
document.addEventListener("cut", (event) => copy(event, true));
document.addEventListener("paste", (event) => {
  if (elsewhere(event.target)) return;
  event.preventDefault();
  paste(event.clipboardData.getData("text/plain"));
});

const elsewhere = (target) => editor.open || !rows.view || target.closest?.("input, textarea, select, dialog, #menu");

function copy(event, cut) {
  const area = !elsewhere(event.target) && chosen();
  if (!area) return;
  event.preventDefault();
  const { block } = area;
  const text = (lines) => joined(lines.map((row) => Array.from({ length: block.c1 - block.c0 + 1 }, (_, i) => shownText(row.c[block.c0 - 1 + i]))));
  const kept = (words) => {
    copied = table.whole === "rows" ? { text: words, sheetId: rows.sheet.id, base: rows.base, rows: area.down } : null;
    if (cut) clear();
  };
  if (rows.loaded(block.r0, block.r1)) {
    const words = text(Array.from({ length: block.r1 - block.r0 + 1 }, (_, i) => rows.get(block.r0 + i)));
    event.clipboardData.setData("text/plain", words);
    kept(words);
  } else {
    say("Copying…");
    rows.all(block.r0, block.r1).then(async (lines) => {
      const words = text(lines);
      await navigator.clipboard.writeText(words);
      say(`${lines.length.toLocaleString("en")} rows copied.`);
      kept(words);
    }).catch((problem) => say(`Not copied: ${problem.message}`));
  }
}

function paste(clip) {
  const area = chosen();
  if (!area || !clip || past()) return;
  if (copied && copied.text === clip && copied.sheetId === rows.sheet.id && copied.base === rows.base && copied.rows.length === 1 && table.whole === "rows") return pasteRows(area);
  const lines = parse(clip);
  const { block } = area;
  const [height, width] = [lines.length, Math.max(...lines.map((line) => line.length))];
  const times = (chosen, given) => (chosen > given && chosen % given === 0 ? chosen : given);
  const [down, across] = [times(block.r1 - block.r0 + 1, height), times(block.c1 - block.c0 + 1, width)];
  const places = [];
  for (let r = 0; r < down; r++) {
    const line = lines[r % height];
    const cells = [];
    for (let c = 0; c < across; c++) {
      const column = rows.sheet.columns[block.c0 - 1 + c];
      if (column && line[c % width] !== undefined) cells.push([column.i, line[c % width]]);
    }
    if (cells.length) places.push([rows.rowAt(block.r0 + r), cells]);
  }
  if (width + block.c0 - 1 > rows.sheet.columns.length) say("What is wider than the sheet was left out.");
  write(places);
  const last = { r0: block.r0, r1: Math.min(block.r0 + down, Math.max(rows.length, 1)) - 1, c0: block.c0, c1: Math.min(block.c0 + across - 1, rows.sheet.columns.length) };
  table.select(block.r0, block.c0, last, false);
}

// Whole rows are copied as such, with what is hidden in them, formulas and looks.
function pasteRows({ down }) {
  const [r0, r1] = copied.rows[0];
  const to = down[0][0];
  const all = [0, Math.max(...rows.sheet.columns.map((c) => c.i)) + 1];
  act({ copyPaste: { source: range([r0, r1], all), destination: range([to, to + r1 - r0], all) } });
}

// --- rows, columns, order

const span = (dimension, start, end) => ({ sheetId: rows.sheet.id, dimension, startIndex: start, endIndex: end });

function insertRows(below) {
  const area = chosen();
  if (!area) return;
  const [first, last] = [area.down[0][0], area.down.at(-1)[1]];
  const [at, count] = [below ? last : first, Math.min(last - first, 1000)];
  act({ insertDimension: { range: span("ROWS", at, at + count), inheritFromBefore: at > rows.sheet.frozenRows && at > 0 && (below || at >= rows.sheet.rowCount) } });
}

function deleteRows() {
  const area = chosen();
  if (!area) return;
  if (area.down.length > 1) return say("Between these rows others are hidden. Clear the filter first.");
  act({ deleteDimension: { range: span("ROWS", ...area.down[0]) } });
}

function insertColumn(right) {
  const column = table.columnOf(table.active.cell);
  const at = column.i + (right ? 1 : 0);
  act({ insertDimension: { range: span("COLUMNS", at, at + 1), inheritFromBefore: false } });
}

function deleteColumns() {
  const area = chosen();
  if (area.across.length > 1) return say("Between these columns others are hidden; they would go as well.");
  act({ deleteDimension: { range: span("COLUMNS", ...area.across[0]) } });
}

function moveColumn(by) {
  const { cell } = table.active;
  const [column, other] = [table.columnOf(cell), table.columnOf(cell + by)];
  if (!other) return;
  act({ moveDimension: { source: span("COLUMNS", column.i, column.i + 1), destinationIndex: by > 0 ? other.i + 1 : other.i } })
    .then((done) => done && table.select(table.active.row, cell + by));
}

function resized(column) {
  if (column?.column) act({ updateDimensionProperties: { range: span("COLUMNS", column.column.i, column.column.i + 1), properties: { pixelSize: Math.round(column.width) }, fields: "pixelSize" } });
}

function sort(sortOrder) {
  const { sheet } = rows;
  const column = table.columnOf(table.active.cell);
  const end = Math.max(sheet.usedRows, sheet.frozenRows);
  if (end <= sheet.frozenRows + 1) return say("There is nothing to sort.");
  act({ sortRange: { range: { sheetId: sheet.id, startRowIndex: sheet.frozenRows, endRowIndex: end }, sortSpecs: [{ dimensionIndex: column.i, sortOrder }] } });
}

// --- filter

function toggleFilter() {
  const { sheet } = rows;
  if (sheet.filter) return act({ clearBasicFilter: { sheetId: sheet.id } });
  const row = Math.max(0, sheet.frozenRows - 1);
  const width = Math.max(...sheet.columns.map((c) => c.i)) + 1;
  return act({ setBasicFilter: { filter: { range: { sheetId: sheet.id, startRowIndex: row, startColumnIndex: 0, endColumnIndex: width } } } });
}

async function filterColumn(column, from) {
  if (past()) return;
  if (!rows.sheet.filter && !(await toggleFilter())) return;
  const offered = await fetchJson("choices", { sheet: rows.sheet.id, column: column.i });
  const box = (from?.isConnected ? from : table.grid.getActiveCellNode() ?? $("filter")).getBoundingClientRect();
  const set = (hiddenValues) => {
    const { range: place, specs } = rows.sheet.filter;
    const others = specs.filter((spec) => (spec.columnIndex ?? 0) !== column.i);
    const filterSpecs = hiddenValues.length ? [...others, { columnIndex: column.i, filterCriteria: { hiddenValues } }] : others;
    act({ setBasicFilter: { filter: { range: place, filterSpecs } } });
    table.focus();
  };
  openFilter({ at: { x: box.left, y: box.bottom + 4 }, column: column.name, choices: offered, apply: set, clear: () => set([]) });
}

// --- find

async function find(by) {
  const text = $("find").value;
  if (!text) return ($("found").value = "");
  if (text !== found.text || found.base !== rows.base) {
    const query = { sheet: rows.sheet.id, text };
    if (rows.version !== null) query.version = rows.version;
    const { found: cells } = await fetchJson("find", query);
    found = { text, cells, at: -1, base: rows.base };
    by = 1;
  }
  if (!found.cells.length) return ($("found").value = "none");
  found.at = (found.at + by + found.cells.length) % found.cells.length;
  $("found").value = `${found.at + 1} of ${found.cells.length >= 2000 ? "2,000+" : found.cells.length}`;
  const [row, place] = found.cells[found.at];
  table.select(row, place + 1);
}

// --- undo

async function step(which) {
  if (past()) return;
  try {
    const answer = await edits.step(which);
    if (answer.nothing) say(which === "undo" ? "There is nothing to undo." : "There is nothing to redo.");
    else if (answer.sheet !== rows.sheetId) await show(answer.sheet);
    if (answer.left) say(`${answer.left === 1 ? "1 cell was" : `${answer.left} cells were`} changed by someone else since, and left alone.`);
  } catch (problem) {
    say(`Not ${which === "undo" ? "undone" : "done again"}: ${problem.message}`);
    edits.count(await fetchJson("depth", { page: pageId }).catch(() => ({})));
    drawState();
  }
}

// --- versions

async function showVersions() {
  const { versions } = await fetchJson("versions", {});
  listVersions(versions, rows.version, lookAt);
}

async function lookAt(version) {
  editor.end(true);
  await edits.turn;
  await rows.show(rows.sheetId, version ? version.number : null);
  $("past").hidden = !version;
  document.body.classList.toggle("old", Boolean(version));
  if (version) $("past").firstElementChild.textContent = `You are looking at ${new Date(version.at).toLocaleString()}. Nothing can be typed here.`;
  drawState();
  showVersions();
}

async function restore() {
  const number = rows.version;
  const word = await ask({ title: "Restore this version?", text: "The whole workbook becomes what it was then. Today's version stays in the history.", buttons: [["Restore", "yes"], ["Cancel", ""]] });
  if (word !== "yes") return;
  edits.count(await tell("restore", { version: number }));
  await lookAt(null);
}

function toggleVersions() {
  const panel = $("versions");
  panel.hidden = !panel.hidden;
  $("history").setAttribute("aria-pressed", String(!panel.hidden));
  if (panel.hidden) {
    if (rows.version !== null) lookAt(null);
    $("history").focus();
  } else showVersions().then(() => panel.querySelector("li button")?.focus());
}

// --- tabs and files

const tabItems = () => [
  ["Rename…", renameTab],
  ["Duplicate", () => act({ duplicateSheet: { sourceSheetId: rows.sheet.id } })],
  ["Delete…", deleteTab, { off: rows.view.tabs.length < 2 }],
];

async function renameTab() {
  if (past()) return;
  const title = await ask({ title: "Rename the tab", field: rows.sheet.title, buttons: [["Rename", "yes"], ["Cancel", ""]] });
  if (title && title !== rows.sheet.title) act({ updateSheetProperties: { properties: { sheetId: rows.sheet.id, title }, fields: "title" } });
}

async function deleteTab() {
  if (past()) return;
  const word = await ask({ title: `Delete ${rows.sheet.title}?`, text: "The version history keeps it.", buttons: [["Delete", "yes"], ["Cancel", ""]] });
  if (word === "yes") act({ deleteSheet: { sheetId: rows.sheet.id } });
}

async function addTab() {
  const done = await act({ addSheet: { properties: {} } });
  const made = done?.replies?.[0]?.addSheet?.properties;
  if (made) show(made.sheetId ?? 0);
}

function pick(accept, take) {
  const field = $("pick");
  Object.assign(field, { accept, value: "" });
  field.onchange = async () => {
    const [file] = field.files;
    if (!file) return;
    try {
      await take(file, file.name.replace(/\.[^.]+$/, ""));
    } catch (problem) {
      say(`Not imported: ${problem.message}`);
    }
  };
  field.click();
}

const fileItems = () => [
  ["Download this tab as CSV", () => { location.href = `${root}/tabs/${rows.sheet.id}.csv`; }],
  ["Download the workbook as Excel", () => { location.href = `${root}/workbook.xlsx`; }],
  null,
  ["Import a CSV as a new tab…", () => pick(".csv,.tsv,.txt,text/csv", async (file, title) => {
    const done = await send(`${root}/tabs?${new URLSearchParams({ title })}`, "text/csv", file);
    await show(done.replies[0].addSheet.properties.sheetId);
  }), { off: rows.version !== null }],
  ["Open an Excel file as a new workbook…", () => pick(".xlsx", async (file, title) => {
    const { spreadsheetId } = await send(`/spreadsheets?${new URLSearchParams({ title })}`, EXCEL, file);
    location.href = `/spreadsheets/${spreadsheetId}`;
  })],
];

const laneItems = () => [
  ["Insert row above", () => insertRows(false)],
  ["Insert row below", () => insertRows(true)],
  ["Delete rows", deleteRows],
  null,
  ["Insert column left", () => insertColumn(false)],
  ["Insert column right", () => insertColumn(true)],
  ["Move column left", () => moveColumn(-1), { off: table.active.cell < 2 }],
  ["Move column right", () => moveColumn(1), { off: table.active.cell >= rows.sheet.columns.length }],
  ["Delete columns", deleteColumns],
  null,
  ["Fill down", fillDown, { key: "Ctrl+D" }],
  ["Filter this column…", () => filterColumn(table.columnOf(table.active.cell)), { key: "Alt+↓" }],
];

function openContext(event) {
  openMenu($("grid"), [["Edit", () => openEditor(), { key: "Enter" }], ["Clear", clear, { key: "Del" }], null, ...laneItems(), null,
    ["Sort A → Z", () => sort("ASCENDING")], ["Sort Z → A", () => sort("DESCENDING")]], { x: event.clientX, y: event.clientY }, () => table.focus());
}

function askProtected(why) {
  return ask({
    title: "Someone else writes here", text: `${why.replace(/^sheets-sync: /, "")}. What you type may be overwritten at any time, and is not taken as your edit.`,
    buttons: [["Cancel", ""], ["Write anyway", "once"], ["Don't ask for 5 minutes", "always"]],
  });
}

const KEYS = [["Arrows, Tab, Home, End", "move"], ["Ctrl+Arrow, Ctrl+Home, Ctrl+End", "to the edge"], ["Shift+Arrows, Ctrl+A", "select"], ["Enter, F2, or just type", "edit"], ["Alt+Enter", "new line in a cell"],
  ["Space", "tick a box"], ["Delete", "clear"], ["Ctrl+C, Ctrl+X, Ctrl+V", "copy, cut, paste"], ["Ctrl+D", "fill down"], ["Ctrl+Z, Ctrl+Y", "undo, redo"], ["Ctrl+F", "find; Enter and Shift+Enter for the next one"],
  ["Alt+↓", "filter this column"], ["Shift+F10", "menu of the cell"], ["Ctrl+Shift+PageUp, PageDown", "other tab"], ["F6", "grid, tools, tabs"], ["Ctrl+/", "these keys"]];

function help() {
  const list = document.createElement("dl");
  for (const [keys, what] of KEYS) list.append(Object.assign(document.createElement("dt"), { textContent: keys }), Object.assign(document.createElement("dd"), { textContent: what }));
  ask({ title: "Keys", body: list, buttons: [["Close", ""]] }).then(() => table.focus());
}

// --- keys

const KEY = {
  Enter: () => openEditor(), F2: () => openEditor(), Delete: clear, Backspace: clear,
  Tab: (event) => table.step(0, event.shiftKey ? -1 : 1),
  Home: (event) => table.select(event.ctrlKey ? Math.min(rows.sheet.frozenRows, rows.length - 1) : table.active.row, 1),
  End: (event) => table.select(event.ctrlKey ? rows.placeOf(Math.max(0, rows.sheet.usedRows - 1)) : table.active.row, rows.sheet.columns.length),
  ContextMenu: () => {},
};
const WITH_CTRL = { z: (event) => step(event.shiftKey ? "redo" : "undo"), y: () => step("redo"), d: fillDown, a: () => table.all() };

$("grid").addEventListener("keydown", (event) => {
  if (editor.open || !rows.view || !table.active || event.isComposing) return;
  const { key: pressed, shiftKey, altKey } = event;
  const ctrl = event.ctrlKey || event.metaKey;
  if (ctrl && !altKey && WITH_CTRL[pressed.toLowerCase()]) WITH_CTRL[pressed.toLowerCase()](event);
  else if (ctrl && !shiftKey && pressed.startsWith("Arrow")) table.edge(pressed);
  else if (altKey && pressed === "ArrowDown") filterColumn(table.columnOf(table.active.cell));
  else if (shiftKey && pressed === "F10") {
    const box = table.grid.getActiveCellNode().getBoundingClientRect();
    openContext({ clientX: box.left + 20, clientY: box.bottom });
  } else if (shiftKey && (pressed === "Home" || pressed === "End")) return;
  else if (KEY[pressed] && !altKey) KEY[pressed](event);
  else if (pressed === " " && !ctrl && activeCell()?.k === "check") tick();
  else if (pressed.length === 1 && !ctrl && !altKey) openEditor(pressed);
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);

document.addEventListener("keydown", (event) => {
  const ctrl = event.ctrlKey || event.metaKey;
  if (!rows.view || $("ask").open) return;
  if (ctrl && event.key.toLowerCase() === "f") {
    $("find").focus();
    $("find").select();
  } else if (ctrl && event.key === "/") help();
  else if (ctrl && event.shiftKey && (event.key === "PageUp" || event.key === "PageDown")) {
    const { tabs } = rows.view;
    const at = tabs.findIndex((tab) => tab.id === rows.sheet.id) + (event.key === "PageUp" ? -1 : 1);
    if (tabs[at]) show(tabs[at].id);
  } else if (event.key === "F6") nextRegion(event.shiftKey ? -1 : 1);
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);

function nextRegion(by) {
  const regions = [$("grid"), document.querySelector(".tools"), $("formula").parentNode, ...($("versions").hidden ? [] : [$("versions")]), document.querySelector("footer")];
  const at = regions.findIndex((region) => region.contains(document.activeElement));
  const next = regions[(at + by + regions.length) % regions.length];
  if (next === $("grid")) table.focus();
  else (next.querySelector("[aria-selected=true]") || next.querySelector("button:enabled, input")).focus();
}

$("tabs").addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  const all = [...$("tabs").children];
  const next = all[all.indexOf(document.activeElement) + by];
  if (next) {
    next.tabIndex = 0;
    next.focus();
  }
  event.preventDefault();
});

$("formula").addEventListener("keydown", (event) => {
  if (event.isComposing || !["Enter", "Escape", "Tab"].includes(event.key)) return;
  const typed = $("formula").value;
  const at = activePlace();
  const was = activeText();
  table.focus();
  if (event.key !== "Escape" && typed !== was) write([[at.row, [[at.column, typed]]]]);
  else $("formula").value = was;
  if (event.key === "Enter") table.step(1, 0);
  event.preventDefault();
});
$("formula").addEventListener("blur", () => {
  if (rows.view) $("formula").value = activeText();
});

$("find").addEventListener("input", () => {
  clearTimeout(find.timer);
  find.timer = setTimeout(() => find(1), 150);
});
$("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") find(event.shiftKey ? -1 : 1);
  else if (event.key === "Escape") table.focus();
  else return;
  event.preventDefault();
});

const back = (work) => () => {
  editor.end(true);
  work();
  table.focus();
};
$("undo").onclick = back(() => step("undo"));
$("redo").onclick = back(() => step("redo"));
$("insert").onclick = back(() => insertRows(false));
$("delete").onclick = back(deleteRows);
$("ascending").onclick = back(() => sort("ASCENDING"));
$("descending").onclick = back(() => sort("DESCENDING"));
$("filter").onclick = back(toggleFilter);
$("history").onclick = toggleVersions;
$("help").onclick = help;
$("addtab").onclick = addTab;
$("lanes").onclick = () => openMenu($("lanes"), laneItems(), null, () => table.focus());
$("file").onclick = () => openMenu($("file"), fileItems(), null, () => table.focus());
$("unsaved").onclick = (event) => {
  const word = event.target.dataset.act;
  if (word === "retry") edits.retry();
  else if (word === "copy") navigator.clipboard.writeText(edits.text()).then(() => say("Copied."));
  else if (word === "discard") edits.discard();
  if (word) table.focus();
};
$("past").onclick = (event) => {
  if (event.target.dataset.act === "restore") restore();
  else if (event.target.dataset.act === "back") lookAt(null);
};
$("versions").querySelector("[data-act=close]").onclick = toggleVersions;
$("versions").addEventListener("keydown", (event) => {
  if (event.key === "Escape") toggleVersions();
});
window.addEventListener("beforeunload", (event) => {
  if (edits.busy || edits.failed.length || editor.open) event.preventDefault();
});

const asked = Number.parseInt(location.hash.slice(5), 10); // #gid=0, as Google's addresses have it
rows.show(Number.isInteger(asked) ? asked : null).then(() => {
  table.focus();
  document.body.dataset.ready = "yes";
});
follow((markOf) => rows.hear(markOf), () => rows.check());
