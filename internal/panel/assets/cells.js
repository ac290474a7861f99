// What a cell of the grid looks like.

import { make } from "./dom.js";
import { bytesOf, kindOf, lineOf, sizeOf } from "./values.js";

/** @import { Column, Row } from "./values.js" */

/** Characters of a value that a cell shows; the rest is in the drawer. */
const SHOWN = 200;

/**
 * fillCell shows the value of a record in a cell.
 * @param {HTMLElement} cell
 * @param {Column} column
 * @param {Row | null} row null while it is not here
 * @param {boolean} linked whether the value refers to another record
 * @param {string} [mark] a class that says what is happening to the value
 */
export function fillCell(cell, column, row, linked, mark) {
  if (!row) {
    cell.className = "";
    cell.textContent = "";
    return;
  }
  const value = row.values[column.name];
  const kind = kindOf(column, value);
  cell.className = mark ? `${kind} ${mark}` : kind;
  const bytes = row.cut.get(column.name);
  const line = lineOf(column, value);
  const text = line.length > SHOWN ? line.slice(0, SHOWN) + "…" : line;
  cell.replaceChildren(kind === "null" || kind === "empty" || kind === "blob" ? make("span", { textContent: text }) : text);
  if (kind === "blob") cell.append(" ", make("small", { textContent: sizeOf(bytes ?? bytesOf(String(value))) }));
  else if (bytes !== undefined) cell.append("…", make("small", { className: "whole", textContent: sizeOf(bytes) }));
  if (linked && kind !== "null" && bytes === undefined) cell.append(make("span", { className: "follow", textContent: "→", title: "Follow (Alt+Enter)" }));
}
