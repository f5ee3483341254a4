// The grid on the screen: SlickGrid over the fetched rows, its columns, looks, cursor and selection.

const NUMBER_WIDTH = 52;
export const ROW_HEIGHT = 24;
const LOOKS = ["backgroundColor", "color", "fontWeight", "fontStyle", "textDecoration", "textAlign"];
const SCROLLED_FROZEN = 0.6; // of the width: frozen columns beyond it would leave no room to scroll

export class Table {
  // `marks(row, column)` gives a cell's unsaved text, trouble and freshness; `on` has the page's handlers.
  constructor(place, rows, marks, on) {
    Object.assign(this, { place, rows, marks, on });
    this.grid = null;
    this.whole = ""; // "rows" or "columns" while such are selected by their header
    place.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    new ResizeObserver(() => { if (this.grid) { this.grid.resizeCanvas(); this.rows.look(); } }).observe(place);
  }

  get sheet() { return this.rows.sheet; }
  get frozen() { return this.sheet.frozenRows; }
  get active() { return this.grid?.getActiveCell() ?? null; }
  columnOf(cell) { return this.sheet.columns[cell - 1]; }
  cellOf(column) { return this.sheet.columns.findIndex((c) => c.i === column) + 1; }

  // Drawn anew: another tab, other columns, other frozen panes. Cursor and scroll stay where they can.
  build(keep) {
    const focused = this.place.contains(document.activeElement);
    const was = keep && this.grid ? { active: this.active, range: this.selection(), scroll: this.pane()?.scrollTop, left: this.pane()?.scrollLeft } : null;
    this.grid?.destroy();
    this.place.replaceChildren();
    this.place.classList.toggle("header", this.frozen > 0);
    const grid = new Slick.Grid(this.place, { getLength: () => this.rows.length, getItem: (at) => this.item(at), getItemMetadata: (at) => this.spans(at) }, this.columns(), {
      rowHeight: ROW_HEIGHT, enableColumnReorder: false, enableMouseWheelScrollHandler: false, editable: false,
      frozenRow: this.frozen || -1, frozenColumn: this.frozenColumn(), selectedCellCssClass: "sel", nonce: document.body.dataset.nonce,
      invalidColumnFreezeWidthCallback: null, invalidColumnFreezePickerCallback: null, suppressCssChangesOnHiddenInit: true, multiSelect: false, headerRowHeight: 26,
    });
    this.grid = grid;
    grid.setSelectionModel(new Slick.CellSelectionModel({ cellRangeSelector: new Slick.CellRangeSelector({ selectionCss: { border: "2px solid #1a67d2" } }) }));
    grid.onActiveCellChanged.subscribe(() => { this.whole = ""; this.on.cursor(); });
    grid.getSelectionModel().onSelectedRangesChanged.subscribe(() => this.on.selection());
    grid.onClick.subscribe((event, { row, cell }) => this.click(event, row, cell));
    grid.onDblClick.subscribe((event, { row, cell }) => { if (cell) this.on.open(); });
    grid.onHeaderClick.subscribe((event, { column }) => this.clickHeader(column));
    grid.onHeaderContextMenu.subscribe((event, { column }) => { event.preventDefault(); this.clickHeader(column); this.on.menu(event.getNativeEvent?.() ?? event); });
    grid.onContextMenu.subscribe((event) => { event.preventDefault(); this.contextMenu(event.getNativeEvent?.() ?? event); });
    grid.onScroll.subscribe(() => this.rows.look());
    grid.onColumnsResized.subscribe((_, { triggeredByColumn }) => this.on.resized(grid.getColumns().find((c) => c.id === triggeredByColumn)));
    this.label();
    if (was?.active) {
      this.select(Math.min(was.active.row, this.rows.length - 1), Math.min(was.active.cell, grid.getColumns().length - 1), null, false);
      const pane = this.pane();
      [pane.scrollTop, pane.scrollLeft] = [was.scroll, was.left];
    } else this.select(Math.min(this.frozen, Math.max(0, this.rows.length - 1)), 1);
    if (focused) this.focus();
  }

  label() {
    this.place.setAttribute("aria-rowcount", this.rows.length);
    this.place.setAttribute("aria-colcount", this.sheet.columns.length);
    this.place.setAttribute("aria-label", `Cells of ${this.sheet.title}`);
  }

  item(at) { return this.rows.get(at) || { i: this.rows.rowAt(at), c: [], away: true }; }

  columns() {
    const number = { id: "#", name: "", field: "i", width: NUMBER_WIDTH, cssClass: "number", focusable: false, selectable: false, resizable: false, formatter: (at, cell, value) => String(value + 1) };
    return [number, ...this.sheet.columns.map((column, c) => ({
      id: `c${column.i}`, name: this.header(column), field: "i", width: column.width, minWidth: 20, column,
      cssClass: column.lock ? "locked" : "", toolTip: column.lock || "", formatter: (at, cell, value, _, row) => this.draw(row, c, column),
    }))];
  }

  header(column) {
    const name = document.createElement("span");
    name.textContent = column.name;
    return name;
  }

  frozenColumn() {
    let [width, last] = [NUMBER_WIDTH, 0];
    for (const column of this.sheet.columns.slice(0, this.sheet.frozenColumns)) {
      width += column.width;
      if (width > this.place.clientWidth * SCROLLED_FROZEN) break;
      last += 1;
    }
    return last < this.sheet.columns.length ? last : 0;
  }

  spans(at) {
    const row = this.rows.rowAt(at);
    const columns = {};
    for (const [r0, , c0, c1] of this.sheet.merges) {
      if (r0 !== row) continue;
      const wide = this.sheet.columns.filter((c) => c.i >= c0 && c.i < c1);
      if (wide.length > 1) columns[`c${wide[0].i}`] = { colspan: wide.length };
    }
    return { columns, cssClasses: row < this.frozen ? "frozenrow" : "" };
  }

  draw(row, c, column) {
    const cell = row.c[c];
    const mark = this.marks(row.i, column.i);
    const funnel = this.sheet.filter && row.i === this.sheet.filter.row && column.i >= this.sheet.filter.columns[0] && column.i < this.sheet.filter.columns[1];
    if (!cell && !mark && !funnel && !(column.lock && row.i < this.frozen)) return "";
    const box = document.createElement("div");
    const text = mark?.text ?? cell?.t ?? "";
    box.className = ["v", cell?.r && !mark?.text && "right", mark?.kind, mark?.fresh && "fresh", cell?.n && "note", cell?.m && !mark && "misfit", cell?.k].filter(Boolean).join(" ");
    const look = cell?.look;
    if (look) for (const name of LOOKS) if (look[name]) box.style[name] = look[name];
    if (cell?.k === "check") this.tick(box, cell, mark);
    else if (text) {
      const words = document.createElement("span");
      words.className = "t";
      words.textContent = text;
      box.append(words);
    }
    const said = mark?.says || [cell?.m, cell?.n].filter(Boolean).join("\n");
    if (said) box.title = said;
    else if (text.length * 7 > column.width) {
      if (look?.whiteSpace && row.i >= this.frozen) box.dataset.whole = text;
      else box.title = text;
    }
    if (column.lock && row.i < this.frozen) box.append(this.lock(column));
    if (funnel) box.append(this.funnel(column));
    return box;
  }

  tick(box, cell, mark) {
    const tick = document.createElement("input");
    Object.assign(tick, { type: "checkbox", checked: mark ? mark.text === "TRUE" : cell.v, tabIndex: -1 });
    tick.setAttribute("aria-label", "Tick box");
    box.append(tick);
  }

  lock(column) {
    const lock = document.createElement("span");
    Object.assign(lock, { className: "lock", title: column.lock });
    lock.setAttribute("role", "img");
    lock.setAttribute("aria-label", column.lock);
    return lock;
  }

  funnel(column) {
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = -1;
    button.className = this.sheet.filter.active.includes(column.i) ? "funnel on" : "funnel";
    button.setAttribute("aria-label", `Filter column ${column.name}`);
    return button;
  }

  redraw(from, to) {
    if (from === undefined) this.grid.invalidateAllRows();
    else this.grid.invalidateRows(Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i));
    this.grid.render();
  }

  resized() {
    this.grid.updateRowCount();
    this.label();
  }

  sight() {
    if (!this.grid) return [0, 60];
    const { top, bottom } = this.grid.getViewport();
    return [Math.max(0, top), Math.max(0, bottom)];
  }

  pane() { return this.place.querySelector(this.frozen ? ".slick-viewport-bottom.slick-viewport-right" : ".slick-viewport-top.slick-viewport-right"); }

  // With frozen panes SlickGrid moves one row a notch; the browser itself scrolls better.
  wheel(event) {
    const pane = this.grid && this.pane();
    if (!pane || event.ctrlKey || pane.contains(event.target)) return;
    const unit = event.deltaMode === 1 ? ROW_HEIGHT : event.deltaMode === 2 ? pane.clientHeight : 1;
    pane.scrollTop += (event.shiftKey ? 0 : event.deltaY) * unit;
    pane.scrollLeft += (event.shiftKey ? event.deltaY : event.deltaX) * unit;
    event.preventDefault();
  }

  // --- cursor and selection; places among the shown rows, cells counted with the number column

  selection() {
    const range = this.grid?.getSelectionModel()?.getSelectedRanges()?.at(-1);
    if (!range) return null;
    return { r0: Math.min(range.fromRow, range.toRow), r1: Math.max(range.fromRow, range.toRow), c0: Math.max(1, Math.min(range.fromCell, range.toCell)), c1: Math.max(range.fromCell, range.toCell) };
  }

  select(row, cell, range = null, scroll = true) {
    if (row < 0 || cell < 1) return;
    const pane = this.pane();
    const [left, top] = [pane?.scrollLeft, pane?.scrollTop];
    this.grid.setActiveCell(row, cell);
    if (!scroll && pane) [pane.scrollLeft, pane.scrollTop] = [left, top];
    if (range) this.grid.getSelectionModel().setSelectedRanges([new Slick.Range(range.r0, range.c0, range.r1, range.c1)]);
    if (scroll) this.grid.scrollCellIntoView(row, cell, false);
  }

  click(event, row, cell) {
    const native = event.getNativeEvent?.() ?? event;
    if (native.target.closest(".funnel")) {
      event.stopImmediatePropagation();
      return this.on.funnel(this.columnOf(cell), native.target.closest(".funnel"));
    }
    if (cell === 0) {
      const from = native.shiftKey && this.active ? this.active.row : row;
      this.select(from, 1, { r0: Math.min(from, row), r1: Math.max(from, row), c0: 1, c1: this.sheet.columns.length }, false);
      this.whole = "rows";
      this.on.selection();
      event.stopImmediatePropagation();
    } else if (native.shiftKey && this.active) {
      const { row: r, cell: c } = this.active;
      this.grid.getSelectionModel().setSelectedRanges([new Slick.Range(Math.min(r, row), Math.min(c, cell), Math.max(r, row), Math.max(c, cell))]);
      event.stopImmediatePropagation();
    } else if (native.target.type === "checkbox") {
      native.preventDefault(); // the server's answer ticks it: what could not be saved is never shown as saved
      this.select(row, cell, null, false);
      this.focus();
      this.on.tick();
      event.stopImmediatePropagation();
    }
  }

  clickHeader(column) {
    if (!column.column) return this.all();
    const cell = this.cellOf(column.column.i);
    this.select(Math.min(this.sight()[0], this.rows.length - 1), cell, { r0: 0, r1: this.rows.length - 1, c0: cell, c1: cell }, false);
    this.whole = "columns";
    this.on.selection();
  }

  contextMenu(event) {
    const at = this.grid.getCellFromEvent(event);
    const chosen = this.selection();
    if (at && at.cell > 0 && !(chosen && at.row >= chosen.r0 && at.row <= chosen.r1 && at.cell >= chosen.c0 && at.cell <= chosen.c1)) this.select(at.row, at.cell, null, false);
    else if (at && at.cell === 0 && !(chosen && at.row >= chosen.r0 && at.row <= chosen.r1)) {
      this.select(at.row, 1, { r0: at.row, r1: at.row, c0: 1, c1: this.sheet.columns.length }, false);
      this.whole = "rows";
    }
    this.on.menu(event);
  }

  all() {
    const used = Math.max(this.rows.placeOf(this.sheet.usedRows - 1), 0);
    this.select(0, 1, { r0: 0, r1: used, c0: 1, c1: this.sheet.columns.length }, false);
  }

  step(down, across) {
    const at = this.active;
    if (at) this.select(Math.max(0, Math.min(this.rows.length - 1, at.row + down)), Math.max(1, Math.min(this.sheet.columns.length, at.cell + across)));
  }

  edge(key) {
    const at = this.active;
    const last = this.rows.placeOf(Math.max(0, this.sheet.usedRows - 1));
    if (key === "ArrowUp") this.select(at.row > this.frozen ? this.frozen : 0, at.cell);
    else if (key === "ArrowDown") this.select(at.row < last ? last : this.rows.length - 1, at.cell);
    else this.select(at.row, key === "ArrowLeft" ? 1 : this.sheet.columns.length);
  }

  focus() { this.grid?.focus(); }
}
