// Tab-separated text, as spreadsheets put it on the clipboard: a cell with a tab, a line break or a quote is quoted.

export function parse(clip) {
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

export function joined(rows) {
  const quoted = (value) => (/[\t\n\r"]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return rows.map((cells) => cells.map(quoted).join("\t")).join("\n");
}

// Cells side by side are written as one block, and equal blocks below each other as one, so a paste is a short list.
// places: [[row, [[column, value]…]]…] by the sheet's own numbers, in order.
export function blocks(sheetId, places) {
  const made = [];
  let open = new Map(); // column -> block that the next row may lengthen
  for (const [row, cells] of places) {
    const next = new Map();
    for (const { column, values } of runs(cells)) {
      let block = open.get(column);
      if (block && block.rowIndex + block.rows.length === row && block.rows[0].length === values.length) block.rows.push(values);
      else made.push((block = { sheetId, rowIndex: row, columnIndex: column, rows: [values] }));
      next.set(column, block);
    }
    open = next;
  }
  return made.map((enterValues) => ({ enterValues }));
}

function runs(cells) {
  const found = [];
  for (const [column, value] of cells) {
    const last = found.at(-1);
    if (last && last.column + last.values.length === column) last.values.push(value);
    else found.push({ column, values: [value] });
  }
  return found;
}
