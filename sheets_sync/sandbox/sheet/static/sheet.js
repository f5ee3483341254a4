// The local sheet's page: draws the rows the server gives, posts what the person does, and follows changes made elsewhere.
"use strict";

const $ = (id) => document.getElementById(id);
const key = document.body.dataset.spreadsheet;
const root = `/spreadsheets/${encodeURIComponent(key)}`;
const grid = $("grid");

let view = null; // the last answer of /view
let sheetId = Number.parseInt(location.hash.slice(5), 10); // #gid=0, as Google's addresses have it
let first = 0;
let cursor = { row: 0, col: 0 }; // sheet row index, position among the visible columns
let anchor = { row: 0, col: 0 };
let editor = null;
let wanted = 0; // revision that we heard of
let loading = false;
let unsaved = 0;
let lost = false; // the server could not be reached

let warned = 0; // when a warning was shown; it stays a while

function say(text, kind) {
  if (kind === "bad") warned = Date.now();
  else if (Date.now() - warned < 5000 && kind !== "busy") return;
  const state = $("state");
  state.textContent = text;
  state.className = kind || "";
}

// --- reading

async function load() {
  if (loading) return;
  loading = true;
  try {
    const query = new URLSearchParams({ first });
    if (Number.isInteger(sheetId)) query.set("sheet", sheetId);
    const answer = await fetch(`${root}/view?${query}`);
    if (!answer.ok) throw new Error(answer.status === 404 ? "this spreadsheet was deleted" : `the server answered ${answer.status}`);
    const next = await answer.json();
    draw(next);
    if (lost) warned = 0;
    lost = false;
    if (!unsaved) say("All changes saved");
  } catch (problem) {
    lost = true;
    say(`Not connected: ${problem.message}`, "bad");
  } finally {
    loading = false;
  }
  if (view && wanted > view.revision) load();
}

function draw(next) {
  const before = view;
  view = next;
  const sheet = next.sheet;
  const same = before && before.sheet.id === sheet.id && before.sheet.first === sheet.first;
  sheetId = sheet.id;
  $("title").textContent = next.title;
  document.title = `${next.title} – local sheet`;
  drawTabs();
  if (!same || !sameShape(before.sheet, sheet)) drawWhole();
  else drawCells(before.sheet);
  const shown = sheet.rows.length ? `rows ${sheet.rows[0].i + 1}–${sheet.rows.at(-1).i + 1} of ` : "";
  $("size").textContent = `${shown}${sheet.rowCount.toLocaleString("en")}`;
  drawPages();
  mark();
}

function sameShape(a, b) {
  return (
    a.rows.length === b.rows.length && a.frozenRows === b.frozenRows && a.frozenColumns === b.frozenColumns &&
    JSON.stringify(a.columns) === JSON.stringify(b.columns) && JSON.stringify(a.merges) === JSON.stringify(b.merges) &&
    a.rows.every((row, i) => row.i === b.rows[i].i)
  );
}

function drawTabs() {
  const tabs = $("tabs");
  const buttons = view.tabs.map((tab) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(tab.id === view.sheet.id));
    button.textContent = tab.title;
    if (tab.colour) button.style.borderBottomColor = tab.colour;
    button.onclick = () => show(tab.id, 0);
    return button;
  });
  tabs.replaceChildren(...buttons);
}

function drawPages() {
  const { sheet } = view;
  const pages = $("pages");
  pages.replaceChildren();
  const page = (text, start) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.onclick = () => show(sheet.id, start);
    pages.append(button);
  };
  if (sheet.first > 0) page("Earlier rows", Math.max(0, sheet.first - sheet.pageRows));
  if (sheet.first + sheet.pageRows < Math.max(sheet.usedRows, 1)) page("Later rows", sheet.first + sheet.pageRows);
}

function show(id, start) {
  close(true);
  sheetId = id;
  first = start;
  cursor = anchor = { row: start, col: 0 };
  history.replaceState(null, "", `#gid=${id}`);
  $("scroll").scrollTo(0, 0);
  load();
}

function drawWhole() {
  const { sheet } = view;
  const colgroup = document.createElement("colgroup");
  const head = document.createElement("tr");
  const corner = document.createElement("th");
  corner.className = "n";
  head.append(corner);
  const number = document.createElement("col");
  number.style.width = "48px";
  colgroup.append(number);
  let total = 48;
  for (const column of sheet.columns) {
    const col = document.createElement("col");
    col.style.width = `${column.width}px`;
    total += column.width;
    colgroup.append(col);
    const th = document.createElement("th");
    th.scope = "col";
    th.textContent = column.name;
    if (column.lock) {
      const lock = document.createElement("span");
      lock.className = "lock";
      lock.setAttribute("aria-label", "protected");
      th.title = column.lock;
      th.append(lock);
    }
    head.append(th);
  }
  grid.style.width = `${total}px`;
  const thead = document.createElement("thead");
  thead.append(head);
  const body = document.createElement("tbody");
  for (const row of sheet.rows) body.append(drawRow(row));
  grid.replaceChildren(colgroup, thead, body);
  freeze(thead, body);
}

function drawRow(row) {
  const { sheet } = view;
  const tr = document.createElement("tr");
  tr.dataset.row = row.i;
  if (row.i < sheet.frozenRows) tr.className = row.i === sheet.frozenRows - 1 ? "frozen last" : "frozen";
  const number = document.createElement("th");
  number.className = "n";
  number.scope = "row";
  number.textContent = row.i + 1;
  tr.append(number);
  row.c.forEach((cell, col) => {
    const td = document.createElement("td");
    td.dataset.col = col;
    const span = merged(row.i, sheet.columns[col].i);
    if (span === null) td.hidden = true;
    else if (span) [td.rowSpan, td.colSpan] = span;
    fill(td, cell);
    tr.append(td);
  });
  return tr;
}

function merged(row, column) {
  const { sheet } = view;
  for (const [r0, r1, c0, c1] of sheet.merges) {
    if (row < r0 || row >= r1 || column < c0 || column >= c1) continue;
    if (row !== r0 || column !== c0) return null;
    return [r1 - r0, sheet.columns.filter((c) => c.i >= c0 && c.i < c1).length];
  }
  return undefined;
}

function freeze(thead, body) {
  let top = thead.offsetHeight;
  for (const tr of body.querySelectorAll("tr.frozen")) {
    for (const cell of tr.children) cell.style.top = `${top}px`;
    top += tr.offsetHeight;
  }
  const { sheet } = view;
  let left = 48;
  sheet.columns.forEach((column, col) => {
    if (column.i >= sheet.frozenColumns) return;
    for (const td of body.querySelectorAll(`td[data-col="${col}"]`)) {
      td.style.position = "sticky";
      td.style.left = `${left}px`;
      td.style.zIndex = td.parentNode.classList.contains("frozen") ? 4 : 1;
    }
    left += column.width;
  });
}

const text = (cell) => (cell && cell.t) || (cell && cell.k === "check" ? String(cell.v) : "");

function drawCells(before) {
  const rows = grid.tBodies[0].rows;
  const changed = [];
  view.sheet.rows.forEach((row, r) => {
    row.c.forEach((cell, col) => {
      const old = before.rows[r].c[col];
      const look = (c, sheet) => (c ? JSON.stringify([c, sheet.styles[c.s]]) : "");
      if (look(old, before) === look(cell, view.sheet)) return;
      const td = rows[r].cells[col + 1];
      if (editor && editor.td === td) {
        editor.cell = cell;
        return;
      }
      fill(td, cell);
      if (text(old) !== text(cell)) changed.push(td);
    });
  });
  if (changed.length <= FLASHES) changed.forEach(flash);
}

const FLASHES = 200; // changed cells that are marked; more than these is a sort or an insert, and all of it moved

function flash(td) {
  td.classList.remove("fresh");
  void td.offsetWidth; // starts the animation anew
  td.classList.add("fresh");
}

const LOOKS = ["backgroundColor", "color", "fontWeight", "fontStyle", "textDecoration", "textAlign", "whiteSpace"];

function fill(td, cell) {
  td.className = "";
  td.removeAttribute("title");
  const style = (cell && cell.s !== undefined && view.sheet.styles[cell.s]) || {};
  for (const look of LOOKS) td.style[look] = style[look] || "";
  if (!cell) {
    td.textContent = "";
    return;
  }
  if (cell.n) {
    td.classList.add("note");
    td.title = cell.n;
  }
  if (cell.r) td.classList.add("right");
  if (cell.k === "check") {
    td.classList.add("check");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = cell.v;
    box.tabIndex = -1;
    td.replaceChildren(box);
    return;
  }
  td.textContent = cell.t || "";
  if (!cell.n && cell.t && cell.t.length > 12) td.title = cell.t;
}

// --- selection

const rowAt = (row) => view.sheet.rows.findIndex((r) => r.i === row);
const tdAt = (row, col) => {
  const r = rowAt(row);
  return r < 0 ? null : grid.tBodies[0].rows[r].cells[col + 1];
};
const cellAt = (row, col) => {
  const r = rowAt(row);
  return r < 0 ? null : view.sheet.rows[r].c[col];
};

function block() {
  return {
    r0: Math.min(cursor.row, anchor.row), r1: Math.max(cursor.row, anchor.row),
    c0: Math.min(cursor.col, anchor.col), c1: Math.max(cursor.col, anchor.col),
  };
}

function mark() {
  for (const td of grid.querySelectorAll(".sel, .cur, .on")) td.classList.remove("sel", "cur", "on");
  const { r0, r1, c0, c1 } = block();
  const many = r0 !== r1 || c0 !== c1;
  for (let r = Math.max(0, rowAt(r0)); r < view.sheet.rows.length && view.sheet.rows[r].i <= r1; r++) {
    const tr = grid.tBodies[0].rows[r];
    tr.cells[0].classList.add("on");
    for (let c = c0; many && c <= c1; c++) tr.cells[c + 1].classList.add("sel");
  }
  for (let c = c0; c <= c1; c++) grid.tHead.rows[0].cells[c + 1]?.classList.add("on");
  tdAt(cursor.row, cursor.col)?.classList.add("cur");
  const column = view.sheet.columns[cursor.col];
  $("where").value = column ? `${column.name}${cursor.row + 1}` : "";
  if (document.activeElement !== $("formula")) $("formula").value = editText(cellAt(cursor.row, cursor.col));
}

const editText = (cell) => (!cell ? "" : cell.k === "check" ? String(cell.v).toUpperCase() : cell.e ?? cell.t ?? "");

function go(row, col, extend) {
  const rows = view.sheet.rows;
  const at = Math.max(0, Math.min(rows.length - 1, row));
  cursor = { row: rows[at].i, col: Math.max(0, Math.min(view.sheet.columns.length - 1, col)) };
  if (!extend) anchor = cursor;
  mark();
  reveal(tdAt(cursor.row, cursor.col));
}

function reveal(td) {
  const pane = $("scroll");
  const top = grid.tHead.offsetHeight + [...grid.querySelectorAll("tr.frozen")].reduce((sum, tr) => sum + tr.offsetHeight, 0);
  const box = td.getBoundingClientRect();
  const frame = pane.getBoundingClientRect();
  if (!td.parentNode.classList.contains("frozen")) {
    if (box.top < frame.top + top) pane.scrollTop -= frame.top + top - box.top;
    else if (box.bottom > frame.top + pane.clientHeight) pane.scrollTop += box.bottom - frame.top - pane.clientHeight;
  }
  if (box.left < frame.left + 48) pane.scrollLeft -= frame.left + 48 - box.left;
  else if (box.right > frame.left + pane.clientWidth) pane.scrollLeft += box.right - frame.left - pane.clientWidth;
}

// --- editing

function open(start) {
  const td = tdAt(cursor.row, cursor.col);
  const cell = cellAt(cursor.row, cursor.col);
  if (!td || (cell && cell.k === "check")) return;
  const list = cell && cell.k === "list" && start === undefined;
  const input = document.createElement(list ? "select" : "input");
  input.className = "editor";
  input.setAttribute("aria-label", `Edit ${$("where").value}`);
  if (list) {
    const texts = ["", ...cell.o];
    if (!texts.includes(cell.t || "")) texts.push(cell.t);
    for (const choice of texts) input.add(new Option(choice, choice));
    input.value = cell.t || "";
    input.onchange = () => close(true);
  } else {
    input.spellcheck = false;
    input.autocomplete = "off";
    input.value = start ?? editText(cell);
  }
  editor = { td, input, cell, row: cursor.row, col: cursor.col, was: editText(cell) };
  td.classList.add("editing");
  td.append(input);
  input.focus();
  input.onblur = () => close(true);
}

function close(save) {
  if (!editor) return;
  const { td, input, cell, row, col, was } = editor;
  editor = null;
  input.onblur = null;
  const typed = input.value;
  td.classList.remove("editing");
  input.remove();
  fill(td, cell);
  mark();
  if (save && typed !== was) enter(row, col, [[typed]]);
}

function enter(row, col, rows) {
  const { sheet } = view;
  const start = sheet.columns[col].i;
  return post([{ enterValues: { sheetId: sheet.id, rowIndex: row, columnIndex: start, rows } }]);
}

async function post(requests) {
  unsaved += 1;
  say("Saving…", "busy");
  try {
    const answer = await fetch(`${root}/edits`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ requests }),
    });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error);
    wanted = Math.max(wanted, body.revision);
    unsaved -= 1;
    await load();
    return true;
  } catch (problem) {
    unsaved -= 1;
    await load();
    say(`Not saved: ${problem.message}`, "bad");
    return false;
  }
}

function clearBlock() {
  const { r0, r1, c0, c1 } = block();
  const rows = view.sheet.rows.filter((r) => r.i >= r0 && r.i <= r1);
  const requests = [];
  for (const row of rows) {
    for (let c = c0; c <= c1; c++) {
      if (!row.c[c] || (!text(row.c[c]) && !row.c[c].e)) continue;
      requests.push({ enterValues: { sheetId: view.sheet.id, rowIndex: row.i, columnIndex: view.sheet.columns[c].i, rows: [[row.c[c].k === "check" ? false : ""]] } });
    }
  }
  if (requests.length) post(requests);
}

function tick(row, col) {
  const cell = cellAt(row, col);
  if (cell && cell.k === "check") enter(row, col, [[!cell.v]]);
}

// Hidden columns lie between visible ones: a pasted block goes to visible cells only, so nobody overwrites what they do not see.
function paste(clip) {
  const rows = parse(clip);
  if (!rows.length) return;
  const { sheet } = view;
  const at = rowAt(Math.min(cursor.row, anchor.row));
  const col = Math.min(cursor.col, anchor.col);
  const requests = [];
  rows.forEach((cells, r) => {
    const row = sheet.rows[at + r] ? sheet.rows[at + r].i : sheet.rows.at(-1).i + 1 + at + r - sheet.rows.length;
    let run = null;
    cells.forEach((value, c) => {
      const column = sheet.columns[col + c];
      if (!column) return;
      if (run && run.columnIndex + run.rows[0].length === column.i) run.rows[0].push(value);
      else requests.push({ enterValues: (run = { sheetId: sheet.id, rowIndex: row, columnIndex: column.i, rows: [[value]] }) });
    });
  });
  if (post(joined(requests))) {
    anchor = { row: sheet.rows[at].i, col };
    cursor = { row: Math.min(anchor.row + rows.length - 1, sheet.rows.at(-1).i), col: Math.min(col + Math.max(...rows.map((r) => r.length)) - 1, sheet.columns.length - 1) };
    mark();
  }
}

function joined(requests) {
  const made = [];
  for (const item of requests) {
    const run = item.enterValues;
    const last = made.find((m) => m.columnIndex === run.columnIndex && m.rowIndex + m.rows.length === run.rowIndex && m.rows[0].length === run.rows[0].length);
    if (last) last.rows.push(run.rows[0]);
    else made.push(run);
  }
  return made.map((enterValues) => ({ enterValues }));
}

// Tab-separated text as spreadsheets put it on the clipboard: a cell with a tab, a line break or a quote is quoted.
function parse(clip) {
  const rows = [[]];
  const pattern = /(?:"((?:[^"]|"")*)"|([^\t\r\n]*))(\t|\r\n|\n|\r|$)/y;
  const source = clip.replace(/(\r\n|\n|\r)$/, "");
  while (pattern.lastIndex <= source.length) {
    const match = pattern.exec(source);
    if (!match) return source.split(/\r\n|\n|\r/).map((line) => line.split("\t"));
    rows.at(-1).push(match[1] !== undefined ? match[1].replaceAll('""', '"') : match[2]);
    if (match[3] === "") break;
    if (match[3] !== "\t") rows.push([]);
  }
  return rows;
}

function copied() {
  const { r0, r1, c0, c1 } = block();
  const quoted = (value) => (/[\t\n\r"]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return view.sheet.rows
    .filter((r) => r.i >= r0 && r.i <= r1)
    .map((r) => r.c.slice(c0, c1 + 1).map((cell) => quoted(text(cell))).join("\t"))
    .join("\n");
}

function rowsAction(kind) {
  const { r0, r1 } = block();
  const range = { sheetId: view.sheet.id, dimension: "ROWS", startIndex: r0, endIndex: r1 + 1 };
  const body = kind === "insertDimension" ? { range, inheritFromBefore: r0 > view.sheet.frozenRows } : { range };
  post([{ [kind]: body }]);
}

function sort(sortOrder) {
  const { sheet } = view;
  const range = { sheetId: sheet.id, startRowIndex: sheet.frozenRows, endRowIndex: Math.max(sheet.usedRows, sheet.frozenRows) };
  post([{ sortRange: { range, sortSpecs: [{ dimensionIndex: sheet.columns[cursor.col].i, sortOrder }] } }]);
}

// --- keys and mouse

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-20, 0], PageDown: [20, 0] };

function step(dr, dc, extend) {
  go(rowAt(cursor.row) + dr, cursor.col + dc, extend);
}

function inEditor(event) {
  if (event.isComposing) return;
  if (event.key === "Enter") {
    close(true);
    step(event.shiftKey ? -1 : 1, 0);
  } else if (event.key === "Tab") {
    close(true);
    step(0, event.shiftKey ? -1 : 1);
  } else if (event.key === "Escape") close(false);
  else return;
  event.preventDefault();
  $("scroll").focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (!view) return;
  if (editor) return inEditor(event);
  if (event.target === $("formula")) return;
  if (event.target.closest("button, a") && [" ", "Enter", "Tab"].includes(event.key)) return;
  const { key: pressed, ctrlKey, metaKey, altKey, shiftKey } = event;
  if (MOVES[pressed]) {
    const far = ctrlKey || metaKey ? 1e6 : 1;
    step(MOVES[pressed][0] * far, MOVES[pressed][1] * far, shiftKey);
  } else if (pressed === "Enter" || pressed === "F2") {
    const cell = cellAt(cursor.row, cursor.col);
    if (cell && cell.k === "check") tick(cursor.row, cursor.col);
    else open();
  } else if (pressed === "Tab") step(0, shiftKey ? -1 : 1);
  else if (pressed === "Home") go(ctrlKey ? 0 : rowAt(cursor.row), 0, shiftKey);
  else if (pressed === "End") go(ctrlKey ? rowAt(view.sheet.usedRows - 1) : rowAt(cursor.row), 1e6, shiftKey);
  else if (pressed === "Delete" || pressed === "Backspace") clearBlock();
  else if (pressed === " " && cellAt(cursor.row, cursor.col)?.k === "check") tick(cursor.row, cursor.col);
  else if (pressed.length === 1 && !ctrlKey && !metaKey && !altKey) open(pressed);
  else return;
  event.preventDefault();
});

grid.addEventListener("mousedown", (event) => {
  const td = event.target.closest("td");
  if (!td || event.target.classList.contains("editor")) return;
  close(true);
  go(rowAt(Number(td.parentNode.dataset.row)), Number(td.dataset.col), event.shiftKey);
  if (event.target.type !== "checkbox") {
    event.preventDefault();
    $("scroll").focus({ preventScroll: true });
  }
});
grid.addEventListener("mouseover", (event) => {
  const td = event.buttons === 1 && !editor && event.target.closest("td");
  if (td) {
    cursor = { row: Number(td.parentNode.dataset.row), col: Number(td.dataset.col) };
    mark();
  }
});
grid.addEventListener("click", (event) => {
  const td = event.target.closest("td");
  if (td && event.target.type === "checkbox") {
    event.preventDefault(); // the server's answer ticks it: what could not be saved is never shown as saved
    tick(Number(td.parentNode.dataset.row), Number(td.dataset.col));
  }
});
grid.addEventListener("dblclick", (event) => {
  if (event.target.closest("td") && !editor) open();
});

document.addEventListener("paste", (event) => {
  if (editor || event.target === $("formula")) return;
  event.preventDefault();
  paste(event.clipboardData.getData("text/plain"));
});
document.addEventListener("copy", (event) => {
  if (editor || event.target === $("formula") || !view) return;
  event.preventDefault();
  event.clipboardData.setData("text/plain", copied());
});

$("formula").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    const typed = $("formula").value;
    const { row, col } = cursor;
    $("scroll").focus({ preventScroll: true });
    if (typed !== editText(cellAt(row, col))) enter(row, col, [[typed]]);
    step(1, 0);
  } else if (event.key === "Escape") {
    $("scroll").focus({ preventScroll: true });
    mark();
  } else return;
  event.preventDefault();
});

$("insert").onclick = () => rowsAction("insertDimension");
$("delete").onclick = () => rowsAction("deleteDimension");
$("ascending").onclick = () => sort("ASCENDING");
$("descending").onclick = () => sort("DESCENDING");
window.addEventListener("beforeunload", (event) => {
  if (unsaved || editor) event.preventDefault();
});

// --- following

// A browser opens six connections to a host; so that the seventh page does not hang, one page follows and tells the others.
const others = new BroadcastChannel(`local-sheet:${key}`);
others.onmessage = (event) => heard(event.data);

function heard(revision) {
  wanted = revision > (view ? view.revision : -1) ? Math.max(wanted, revision) : revision;
  if (!view || revision !== view.revision) load();
}

function follow() {
  const stream = new EventSource(`${root}/changes`);
  stream.onmessage = (event) => {
    const revision = Number(event.data);
    others.postMessage(revision);
    heard(revision);
  };
  stream.onerror = () => {
    load(); // tells whether the server is gone; where it is only full, this page looks now and then
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  };
}

load();
navigator.locks.request(`local-sheet:${key}`, () => new Promise(follow)); // never ends: held while the page is open
