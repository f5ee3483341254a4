// The field in which a cell is typed. It lies over the grid, so redrawing and others' edits do not disturb it.

const BORDER = 2;

export class Editor {
  // `table` shows where; `done(row, column, text, was)` takes what was typed; `typed(text)` hears each key.
  constructor(table, { done, typed, left }) {
    Object.assign(this, { table, done, typed, left });
    this.at = null;
  }

  get open() { return this.at !== null; }

  begin(cell, { row, column, text, start, name }) {
    const { grid } = this.table;
    const active = this.table.active;
    const node = grid.getActiveCellNode();
    if (!node) return;
    const field = cell?.k === "list" && start === undefined ? this.choice(cell, text) : document.createElement(start === undefined && text.includes("\n") ? "textarea" : "input");
    if (field.tagName !== "SELECT") {
      Object.assign(field, { spellcheck: false, autocomplete: "off", value: start ?? text });
      if (cell?.k === "list") field.setAttribute("list", this.offer(cell.o));
    }
    field.classList.add("editor");
    field.setAttribute("aria-label", `Edit ${name}`);
    Object.assign(field.style, { top: `${node.parentNode.offsetTop - 1}px`, left: `${node.offsetLeft - 1}px`, width: `${node.offsetWidth + BORDER}px` });
    if (field.tagName === "TEXTAREA") field.rows = Math.min(8, text.split("\n").length + 1);
    this.at = { row, column, was: text, place: active, field };
    grid.getActiveCanvasNode().append(field);
    field.focus({ preventScroll: true });
    if (field.setSelectionRange) field.setSelectionRange(field.value.length, field.value.length);
    field.oninput = () => this.typed(field.value);
    field.onkeydown = (event) => this.key(event);
    field.onblur = () => this.end(true);
    if (field.tagName === "SELECT") field.onchange = () => { this.end(true); this.table.focus(); };
    this.typed(field.value);
  }

  choice(cell, text) {
    const select = document.createElement("select");
    const texts = ["", ...cell.o];
    if (!texts.includes(text)) texts.push(text);
    for (const choice of texts) select.add(new Option(choice, choice));
    select.value = text;
    return select;
  }

  offer(choices) {
    document.getElementById("offer")?.remove();
    const list = document.createElement("datalist");
    list.id = "offer";
    for (const choice of choices) list.append(new Option(choice));
    document.body.append(list);
    return list.id;
  }

  key(event) {
    event.stopPropagation();
    if (event.isComposing) return;
    const { field } = this.at;
    if (event.key === "Enter" && event.altKey) return this.newLine(event);
    if (event.key === "Enter") this.end(true), this.left(event.shiftKey ? -1 : 1, 0);
    else if (event.key === "Tab") this.end(true), this.left(0, event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") this.end(false), this.left(0, 0);
    else if (field.tagName === "SELECT" && event.key === " ") return field.showPicker?.();
    else return;
    event.preventDefault();
  }

  newLine(event) {
    const { field } = this.at;
    if (field.tagName === "INPUT") {
      const area = document.createElement("textarea");
      area.className = field.className;
      area.setAttribute("aria-label", field.getAttribute("aria-label"));
      area.style.cssText = field.style.cssText;
      area.rows = 3;
      area.value = field.value;
      for (const on of ["oninput", "onkeydown", "onblur"]) [area[on], field[on]] = [field[on], null];
      this.at.field = area;
      field.replaceWith(area);
      area.oninput = () => this.typed(area.value);
      area.focus();
    }
    this.at.field.setRangeText("\n", this.at.field.selectionStart, this.at.field.selectionEnd, "end");
    event.preventDefault();
  }

  // Others moved the row while it is typed in: what is typed stays with it.
  carry(row, column) {
    if (!this.at) return;
    Object.assign(this.at, { row, column });
    const node = this.table.grid.getActiveCellNode();
    if (node) Object.assign(this.at.field.style, { top: `${node.parentNode.offsetTop - 1}px`, left: `${node.offsetLeft - 1}px` });
  }

  // Closes without writing; gives what was typed, if that is anything.
  take() {
    if (!this.at) return null;
    const { row, column, was, field } = this.at;
    this.end(false);
    return field.value === was ? null : { row, column, text: field.value };
  }

  end(save) {
    if (!this.at) return;
    const { row, column, was, field } = this.at;
    this.at = null;
    field.onblur = null;
    const text = field.value;
    field.remove();
    if (save && text !== was) this.done(row, column, text);
    else this.typed(null);
  }
}
