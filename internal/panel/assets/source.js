// Where a page reads the records of a table: calls of the API, by position.

import { call, Failure } from "./wire.js";
import { rowsOf } from "./values.js";

/** @import { Column, ForeignKey, Referrer, Row, Value } from "./values.js" */

/**
 * What the server says of the table, in the page.
 * @typedef {{
 *   api: string, pages: string, id: number, table: string, columns: Column[], key: string[], mayWrite: boolean,
 *   foreignKeys: ForeignKey[], referredBy: Referrer[], view: Record<string, string>, window: any, sorts: {order: string, link: string}[],
 * }} Description
 */

/** Bytes of a value that the grid asks for. */
const CELL = 256;

/** Bytes of a value that are worth showing or editing in a page. */
export const WHOLE = 64 << 10;

/** A Source reads the records of one view of a table. */
export class Source {
  /** @param {Description} about */
  constructor(about) {
    this.about = about;
    this.byPosition = true; // whether the server finds positions in this order
    this.records = `${about.api}/records/${encodeURIComponent(about.table)}`;
  }

  /**
   * address returns the address of a list of the view.
   * @param {Record<string, string | number>} parameters
   */
  address(parameters) {
    const query = new URLSearchParams({ ...this.about.view, integers: "string" });
    for (const [name, value] of Object.entries(parameters)) query.set(name, String(value));
    return `${this.records}?${query}`;
  }

  /**
   * page reads rows from a position on.
   * @param {number} first
   * @param {number} limit
   * @returns {Promise<{rows: Row[], more: boolean}>}
   */
  async page(first, limit) {
    try {
      const place = this.byPosition ? "position" : "offset";
      // A page with an offset is never cut short, so it must not become too large.
      const most = this.byPosition ? limit : Math.max(1, Math.min(limit, Math.floor(8e6 / (CELL * this.about.columns.length))));
      const { data } = await call(this.address({ limit: most, cell_limit: CELL, [place]: first }));
      return { rows: rowsOf(this.about.key, data), more: data.has_more };
    } catch (failure) {
      if (!this.byPosition || !(failure instanceof Failure) || !failure.details.some(({ field }) => field === "position")) throw failure;
      this.byPosition = false;
      return this.page(first, limit);
    }
  }

  /**
   * count asks how many records the view has.
   * @param {"estimate" | "exact"} how
   * @returns {Promise<{total: number, is: string}>} is: exact, at_least or estimate
   */
  async count(how) {
    const { data } = await call(this.address({ limit: 1, cell_limit: 16, total: how }));
    return { total: data.total, is: data.total_is ?? "exact" };
  }

  /**
   * record reads one record, as far as its values are short, with its position in the table if asked.
   * @param {string} id
   * @param {boolean} [position]
   * @returns {Promise<{row: Row, position: number | undefined}>}
   */
  async record(id, position = false) {
    const { sort, order } = this.about.view;
    const query = new URLSearchParams({ integers: "string", cell_limit: String(WHOLE) });
    if (position) {
      query.set("position", "true");
      if (sort) query.set("sort", sort);
      if (order) query.set("order", order);
    }
    const { data } = await call(`${this.records}/${id}?${query}`);
    const [row] = rowsOf(this.about.key, { rows: [data.row], ids: [id], cut: data.cut });
    row.id = id;
    return { row, position: data.position };
  }

  /**
   * value reads one value whole, with the ETag that stands for it alone.
   * @param {string} id
   * @param {string} column
   * @returns {Promise<{value: Value, etag: string}>}
   */
  async value(id, column) {
    const query = new URLSearchParams({ integers: "string", columns: column });
    const { data, etag } = await call(`${this.records}/${id}?${query}`);
    return { value: data.row[column], etag };
  }

  /**
   * cell returns the address of the stored bytes of a value.
   * @param {string} id
   * @param {string} column
   */
  cell(id, column) {
    return `${this.about.api}/cells/${encodeURIComponent(this.about.table)}/${id}/${encodeURIComponent(column)}`;
  }

  /**
   * countWhere counts records of another table, for a moment.
   * @param {string} table
   * @param {string} filters
   * @returns {Promise<{total: number, is: string}>}
   */
  async countWhere(table, filters) {
    const query = new URLSearchParams({ filters, limit: "1", cell_limit: "16", total: "estimate" });
    const { data } = await call(`${this.about.api}/records/${encodeURIComponent(table)}?${query}`);
    return { total: data.total, is: data.total_is };
  }

  /**
   * tablePage returns the page of the records of a table that have some values.
   * @param {string} table
   * @param {string} [filters]
   */
  tablePage(table, filters) {
    return `${this.about.pages}/t/${encodeURIComponent(table)}${filters ? `?${new URLSearchParams({ filters })}` : ""}`;
  }
}
