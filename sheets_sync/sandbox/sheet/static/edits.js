// What the person did, on its way to the server. One after the other; what is not saved is shown as such and kept.

import { Away, Refusal, tell } from "./wire.js";
import { carry } from "./rows.js";

const SURE = 5 * 60 * 1000; // milliseconds for which "don't ask again" holds

export class Edits {
  // `rows` names places; `ask(why)` asks before protected cells; `changed()` is told when something is to be drawn.
  constructor({ rows, ask, changed, saved }) {
    Object.assign(this, { rows, ask, changed, saved });
    this.waiting = []; // not answered yet
    this.failed = [];
    this.turn = Promise.resolve();
    this.sure = 0;
    this.undoable = this.redoable = this.stepping = 0;
  }

  get busy() { return this.waiting.length > 0 || this.stepping > 0; }

  // cells: [[row, column, text]…] by the sheet's own numbers, shown as unsaved until the server has them.
  make(requests, cells = []) {
    const edit = { id: crypto.randomUUID(), requests, base: this.rows.base, sheetId: this.rows.sheetId, cells: new Map(cells.map(([r, c, text]) => [`${r}:${c}`, text])) };
    return this.queue(edit);
  }

  queue(edit) {
    this.waiting.push(edit);
    this.changed();
    const done = this.turn.then(() => this.post(edit));
    this.turn = done.catch(() => {});
    return done;
  }

  async post(edit) {
    try {
      const { id, base, requests } = edit;
      const body = { id, base, requests, confirmed: Date.now() < this.sure || edit.confirmed };
      const answer = await tell("edits", body);
      this.count(answer);
      await this.saved(answer);
      this.drop(edit);
      return answer;
    } catch (problem) {
      if (problem instanceof Refusal && problem.body.protected && (await this.confirm(edit, problem.body.protected))) return this.post(edit);
      this.drop(edit);
      if (!(problem instanceof Refusal && problem.body.protected)) this.fail(edit, problem);
      this.changed();
      return null;
    }
  }

  async confirm(edit, why) {
    const word = await this.ask(why);
    if (word === "always") this.sure = Date.now() + SURE;
    edit.confirmed = word === "once" || word === "always";
    return edit.confirmed;
  }

  fail(edit, problem) {
    if (!(problem instanceof Away || problem instanceof Refusal)) throw problem;
    edit.problem = problem.message;
    edit.old = problem instanceof Refusal && problem.body.anew;
    this.failed.push(edit);
  }

  drop(edit) {
    this.waiting = this.waiting.filter((other) => other !== edit);
    this.changed();
  }

  count({ undo, redo }) {
    if (undo !== undefined) [this.undoable, this.redoable] = [undo, redo];
  }

  step(which) {
    this.stepping += 1;
    this.changed();
    const done = this.turn.then(async () => {
      const answer = await tell(which, {});
      this.count(answer);
      if (!answer.nothing) await this.saved(answer);
      return answer;
    }).finally(() => {
      this.stepping -= 1;
      this.changed();
    });
    this.turn = done.catch(() => {});
    return done;
  }

  retry() {
    const again = this.failed;
    this.failed = [];
    for (const edit of again) this.queue(edit.old ? { ...edit, base: this.rows.base } : edit);
  }

  discard() {
    this.failed = [];
    this.changed();
  }

  text() {
    return this.failed.flatMap((edit) => edit.requests.map((r) => r.enterValues).filter(Boolean))
      .flatMap(({ rows }) => rows.map((cells) => cells.join("\t"))).join("\n");
  }

  // The tab is gone or was reloaded (then no row can be found again by its number): texts are kept, their places are not.
  reloaded(torn, typed, sheetId) {
    if (torn) for (const edit of [...this.waiting, ...this.failed]) edit.cells = new Map();
    if (!typed) return;
    const { row, column, text } = typed;
    const enterValues = { sheetId, rowIndex: row, columnIndex: column, rows: [[text]] };
    this.failed.push({ id: crypto.randomUUID(), requests: [{ enterValues }], sheetId, cells: new Map(), old: true, problem: "the sheet was reloaded while you typed, and rows may stand elsewhere now." });
  }

  // Unsaved text stays with its row when others insert rows above it.
  carry(moves) {
    for (const edit of [...this.waiting, ...this.failed]) {
      if (edit.sheetId !== this.rows.sheetId) continue;
      edit.cells = new Map([...edit.cells].flatMap(([place, text]) => {
        const [row, column] = place.split(":").map(Number);
        const [r, c] = [carry(row, moves, "ROWS"), carry(column, moves, "COLUMNS")];
        return r === null || c === null ? [] : [[`${r}:${c}`, text]];
      }));
    }
  }

  mark(row, column) {
    const place = `${row}:${column}`;
    const here = (edit) => edit.sheetId === this.rows.sheetId && edit.cells.has(place);
    const waiting = this.waiting.findLast(here);
    if (waiting) return { text: String(waiting.cells.get(place)), kind: "waiting", says: "Saving…" };
    const failed = this.failed.findLast(here);
    return failed && { text: String(failed.cells.get(place)), kind: "failed", says: `Not saved: ${failed.problem}` };
  }
}
