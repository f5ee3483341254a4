// The window on the workbook: rows that were fetched, which of them are stale, and where rows and columns went meanwhile.

import { ask } from "./wire.js";

const CHUNK = 100; // rows that are fetched together
const KEPT = 20000; // rows that are remembered
const MOST = 50; // answers in a row; where others write without a pause, the next event goes on
const AHEAD = 60; // rows fetched above and below those in sight

export class Rows {
  // `sight()` gives the shown rows in sight; `drawn(what)` is told what is new; `trouble(problem)` what went wrong.
  constructor({ sight, drawn, trouble }) {
    Object.assign(this, { sight, drawn, trouble });
    this.view = null; // the last answer, but for its rows
    this.sheetId = null;
    this.version = null; // an old version that is looked at
    this.kept = new Map(); // shown row -> row
    this.fresh = new Set(); // chunks that are as of this revision
    this.heard = ""; // the newest revision that we know of
    this.looking = null;
  }

  get sheet() { return this.view.sheet; }
  get length() { return this.view ? this.sheet.shownRows : 0; }
  get base() { return this.view ? `${this.view.epoch}:${this.view.revision}` : ""; }
  get(at) { return this.kept.get(at); }
  loaded(from, to) { for (let at = from; at <= to; at++) if (!this.kept.has(at)) return false; return true; }

  rowAt(at) {
    for (const [start, end] of this.sheet.runs) {
      if (at < end - start) return start + at;
      at -= end - start;
    }
    return this.sheet.rowCount + at;
  }

  // The place of a sheet row among those shown; of the next shown one where it is hidden.
  placeOf(row) {
    let at = 0;
    for (const [start, end] of this.sheet.runs) {
      if (row < end) return at + Math.max(0, row - start);
      at += end - start;
    }
    return Math.max(0, at - 1);
  }

  show(sheetId, version = null) {
    Object.assign(this, { sheetId, version });
    this.kept.clear();
    this.fresh.clear();
    this.anew = true;
    return this.look();
  }

  hear(mark) {
    this.heard = mark;
    if (this.version === null && mark !== this.base) {
      this.fresh.clear();
      this.look();
    }
  }

  // Whether or not anything is known to be new.
  check() {
    this.fresh.clear();
    return this.look();
  }

  look() {
    if (!this.looking) {
      const done = this.lookOn();
      if (this.inLook) this.looking = done;
      return done;
    }
    return this.looking;
  }

  async lookOn() {
    this.inLook = true;
    try {
      for (let run = this.missing(), turn = 0; run && turn < MOST; run = this.missing(), turn++) await this.fetch(...run);
    } catch (problem) {
      this.trouble(problem);
    } finally {
      this.looking = null; // at once: whoever hears of news right after this has to look anew
      this.inLook = false;
    }
  }

  // The next shown rows to fetch: the first chunk has the header, the others are in sight or nearly.
  missing() {
    if (!this.view || this.anew) return [0, 2 * CHUNK];
    const [top, bottom] = this.sight();
    const last = Math.floor((Math.max(1, this.length) - 1) / CHUNK);
    const from = Math.max(0, Math.floor((top - AHEAD) / CHUNK));
    const to = Math.min(last, Math.floor((bottom + AHEAD) / CHUNK));
    const inSight = [Math.floor(top / CHUNK), Math.floor(bottom / CHUNK)];
    for (const chunk of [...inSight, 0, ...Array.from({ length: to - from + 1 }, (_, i) => from + i)]) {
      if (chunk >= 0 && chunk <= last && !this.fresh.has(chunk)) return [chunk * CHUNK, (chunk + 1) * CHUNK];
    }
    return null;
  }

  async fetch(start, end) {
    const asked = this.sheetId;
    const query = { start, end, since: this.anew ? "" : this.base };
    if (Number.isInteger(asked)) query.sheet = asked;
    if (this.version !== null) query.version = this.version;
    const answer = await ask("view", query);
    if (asked !== this.sheetId || (query.version ?? null) !== this.version) return;
    this.take(answer);
  }

  take(answer) {
    const before = this.view;
    const { rows, start, styles } = answer.sheet;
    const other = !before || this.anew || before.sheet.id !== answer.sheet.id || answer.anew;
    const changed = other || answer.revision !== before.revision || answer.epoch !== before.epoch;
    if (other) this.kept.clear();
    if (changed) this.fresh.clear();
    const moves = other ? [] : answer.moves.filter(([sheet]) => sheet === answer.sheet.id);
    if (moves.length) this.carry(moves, answer.sheet);
    if (changed && !moves.length && before && before.sheet.shownRows !== answer.sheet.shownRows) this.kept.clear();
    this.view = answer;
    this.sheetId = answer.sheet.id;
    this.anew = false;
    const news = [];
    rows.forEach((row, i) => {
      for (const cell of row.c) if (cell && cell.s !== undefined) cell.look = styles[cell.s];
      const old = this.kept.get(start + i);
      this.kept.delete(start + i); // so that the map stays in the order of last use
      this.kept.set(start + i, row);
      if (!other && changed) news.push([old, row]);
    });
    // An answer that was on its way while we heard of a newer revision is shown, and asked for again.
    if (!this.overtaken(answer)) for (let chunk = Math.floor(start / CHUNK); chunk * CHUNK < Math.max(start + rows.length, start + 1); chunk++) this.fresh.add(chunk);
    this.forget();
    this.drawn({ other, torn: Boolean(answer.anew), changed, moves, news, before, start, end: start + rows.length });
  }

  overtaken({ epoch, revision }) {
    const [heard, newest] = this.heard.split(":");
    return this.version === null && heard === epoch && revision < Number(newest);
  }

  // Rows that moved keep their fetched content until it is fetched anew, so nothing flickers.
  carry(moves, sheet) {
    if (moves.some(([, dimension]) => dimension !== "ROWS") || sheet.runs.length > 1 || this.sheet.runs.length > 1) {
      this.kept.clear();
      return;
    }
    const carried = new Map();
    for (const [at, row] of this.kept) {
      const now = carry(at, moves, "ROWS");
      if (now !== null) carried.set(now, { ...row, i: now });
    }
    this.kept = carried;
  }

  forget() {
    if (this.kept.size <= KEPT) return;
    const [top, bottom] = this.sight();
    for (const at of this.kept.keys()) {
      if (this.kept.size <= KEPT / 2) break;
      if (at >= CHUNK && (at < top - CHUNK || at > bottom + CHUNK)) {
        this.kept.delete(at);
        this.fresh.delete(Math.floor(at / CHUNK));
      }
    }
  }

  // All rows from one place to another, fetched where need be.
  async all(from, to) {
    const rows = [];
    for (let at = from; at <= to; ) {
      if (this.kept.has(at)) rows.push(this.kept.get(at++));
      else {
        const query = { sheet: this.sheetId, start: at, end: Math.min(to + 1, at + 1000) };
        if (this.version !== null) query.version = this.version;
        const { sheet } = await ask("view", query);
        if (!sheet.rows.length) break;
        rows.push(...sheet.rows);
        at += sheet.rows.length;
      }
    }
    return rows;
  }
}

// Where a row or column is after the moves; null where it is gone.
export function carry(index, moves, dimension) {
  let at = index;
  for (const [, lanes, start, removed, added] of moves) {
    if (lanes !== dimension || at < start) continue;
    if (at < start + removed) return null;
    at += added - removed;
  }
  return at;
}
