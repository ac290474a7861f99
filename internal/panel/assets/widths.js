// The widths of the columns of a table, which the browser remembers.

import { remember, remembered } from "./dom.js";
import { kindOf, lineOf } from "./values.js";

/** @import { Column, Row } from "./values.js" */

const MIN = 48;
const MAX = 2000;
const CHARACTER = 8.3; // pixels, about

/** Widths knows how wide each column is and where it begins. */
export class Widths {
  /**
   * @param {string} name under which the browser remembers them
   * @param {Column[]} columns
   * @param {Row[]} rows by which columns get their first width
   */
  constructor(name, columns, rows) {
    this.name = name;
    this.columns = columns;
    this.gutter = 56;
    const kept = remembered(localStorage, name);
    this.own = typeof kept === "object" && kept !== null ? kept : {};
    /** @type {number[]} */
    this.widths = columns.map((column) => clamp(Number(this.own[column.name]) || guess(column, rows)));
    this.#add();
  }

  #add() {
    this.starts = [0];
    for (const width of this.widths) this.starts.push(this.starts[this.starts.length - 1] + width);
  }

  /** The width of all columns together. */
  get all() {
    return this.before(this.columns.length);
  }

  /** @param {number} j */
  of(j) {
    return this.widths[j];
  }

  /** @param {number} j */
  before(j) {
    return this.starts?.[j] ?? 0;
  }

  /**
   * at returns the column at a distance from the left.
   * @param {number} x
   */
  at(x) {
    let low = 0;
    let high = this.columns.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.before(middle) <= x) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /**
   * fit makes the gutter wide enough for the numbers of so many rows.
   * @param {number} total
   */
  fit(total) {
    this.gutter = Math.max(44, 20 + String(total).length * 8);
  }

  /**
   * set gives a column another width, and remembers it.
   * @param {number} j
   * @param {number} width
   */
  set(j, width) {
    this.widths[j] = clamp(width);
    this.#add();
    this.own[this.columns[j].name] = this.widths[j];
    remember(localStorage, this.name, this.own);
  }

  /**
   * fitTo makes a column as wide as its longest value among some rows.
   * @param {number} j
   * @param {Iterable<Row>} rows
   */
  fitTo(j, rows) {
    this.set(j, guess(this.columns[j], [...rows], 900));
  }
}

/** @param {number} width */
const clamp = (width) => Math.round(Math.min(Math.max(MIN, width), MAX));

/**
 * @param {Column} column
 * @param {Row[]} rows
 * @param {number} [limit]
 */
function guess(column, rows, limit = 320) {
  let longest = column.name.length + column.type.length + 2;
  for (const row of rows) {
    const value = row.values[column.name];
    const length = kindOf(column, value) === "blob" ? 12 : lineOf(column, value).length + (row.cut.has(column.name) ? 12 : 0);
    longest = Math.max(longest, length);
  }
  return Math.min(longest * CHARACTER + 22, limit);
}
