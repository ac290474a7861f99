// The drawer beside the grid: one record with all its values whole, where it refers to and what refers to it.

import { make } from "./dom.js";
import { bytesOf, countOf, filtersFor, kindOf, lineOf, sizeOf, textOf } from "./values.js";

/** @import { Source } from "./source.js" */
/** @import { Column, Row } from "./values.js" */

/** A Drawer shows a record. It tells of "close", "previous" and "next" by events. */
export class Drawer extends EventTarget {
  /**
   * @param {HTMLElement} element
   * @param {Source} source
   */
  constructor(element, source) {
    super();
    this.element = element;
    this.source = source;
    this.id = "";
    this.column = ""; // whose value is to be edited, at "edit"
    this.turn = 0; // counts what was shown, so that late answers are dropped
    element.addEventListener("keydown", (event) => {
      if (event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLInputElement) {
        if (event.key === "Escape") event.stopPropagation();
        return;
      }
      const kind = { Escape: "close", "[": "previous", "]": "next" }[event.key];
      if (!kind || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#tell(kind);
    });
  }

  /** @param {string} kind */
  #tell(kind) {
    this.dispatchEvent(new Event(kind));
  }

  get open() {
    return !this.element.hidden;
  }

  close() {
    this.element.hidden = true;
    this.element.replaceChildren();
    this.id = "";
    this.turn++;
  }

  /**
   * show reads and shows a record.
   * @param {string} id
   * @param {number} number of its row, from 1
   */
  async show(id, number) {
    const turn = ++this.turn;
    this.id = id;
    this.element.hidden = false;
    /** @type {Row} */
    let row;
    try {
      ({ row } = await this.source.record(id));
    } catch (failure) {
      if (turn === this.turn) this.element.replaceChildren(this.#head(number), make("p", { className: "fault", textContent: messageOf(failure) }));
      return;
    }
    if (turn !== this.turn) return;
    const list = make("dl", { className: "record" }, ...this.source.about.columns.map((column) => this.#field(column, row)));
    this.element.replaceChildren(this.#head(number), list, this.#references(row, turn));
  }

  /** @param {number} number */
  #head(number) {
    /** @type {(label: string, text: string, kind: string) => HTMLElement} */
    const button = (label, text, kind) => {
      const made = make("button", { type: "button", className: "second icon", ariaLabel: label, title: label, textContent: text });
      made.addEventListener("click", () => this.#tell(kind));
      return made;
    };
    const { pages, table } = this.source.about;
    return make(
      "div",
      { className: "head" },
      make("h2", { className: "cut" }, `Record ${countOf(number)}`),
      make("a", { href: `${pages}/r/${encodeURIComponent(table)}/${this.id}`, textContent: "Page" }),
      button("Previous record ([)", "↑", "previous"),
      button("Next record (])", "↓", "next"),
      button("Close (Esc)", "×", "close"),
    );
  }

  /**
   * @param {Column} column
   * @param {Row} row
   */
  #field(column, row) {
    const kind = kindOf(column, row.values[column.name]);
    const value = make("dd", { className: kind });
    this.#fill(value, column, row);
    const about = [column.type, ...(column.key ? ["key"] : []), ...(column.nullable || column.key ? [] : ["required"])].join(" · ");
    const name = make("dt", {}, `${column.name} `, make("small", { textContent: about }));
    if (this.source.about.mayWrite && kind !== "blob") {
      const edit = make("button", { type: "button", className: "quiet", textContent: "Edit", ariaLabel: `Edit ${column.name}` });
      edit.addEventListener("click", () => {
        this.column = column.name;
        this.#tell("edit");
      });
      value.append(" ", edit);
    }
    return make("div", {}, name, value);
  }

  /**
   * @param {HTMLElement} element
   * @param {Column} column
   * @param {Row} row
   */
  #fill(element, column, row) {
    const value = row.values[column.name];
    const kind = kindOf(column, value);
    const bytes = row.cut.get(column.name);
    const whole = make("a", { href: this.source.cell(row.id, column.name), download: "", textContent: "Download" });
    if (kind === "blob") {
      element.append(make("span", { textContent: "BLOB" }), ` ${sizeOf(bytes ?? bytesOf(String(value)))} `, whole);
      return;
    }
    const fk = this.source.about.foreignKeys.find(({ columns }) => columns.length === 1 && columns[0] === column.name);
    const text = kind === "null" || kind === "empty" ? lineOf(column, value) : textOf(column, value);
    if (fk && kind !== "null" && bytes === undefined) {
      element.append(make("a", { href: this.source.tablePage(fk.parent_table, filtersFor(fk.parent_columns, [value])), title: `Show in ${fk.parent_table}` }, `${text} → ${fk.parent_table}`));
      return;
    }
    element.append(make("span", { textContent: text }));
    if (bytes !== undefined) element.append("… ", make("small", { textContent: `${sizeOf(bytes)} in all ` }), whole);
  }

  /**
   * references lists the tables that refer to the record, and counts in them afterwards.
   * @param {Row} row
   * @param {number} turn
   */
  #references(row, turn) {
    const list = make("ul", { className: "plainlist" });
    for (const { table, columns, parent_columns } of this.source.about.referredBy) {
      if (parent_columns.some((name) => row.values[name] === null || row.cut.has(name))) continue;
      const filters = filtersFor(
        columns,
        parent_columns.map((name) => row.values[name]),
      );
      const count = make("small");
      list.append(make("li", {}, make("a", { href: this.source.tablePage(table, filters), textContent: `${table} by ${columns.join(", ")}` }), " ", count));
      this.source.countWhere(table, filters).then(
        ({ total, is }) => {
          if (turn === this.turn) count.textContent = is === "exact" ? countOf(total) : `at least ${countOf(total)}`;
        },
        () => (count.textContent = ""),
      );
    }
    return make("div", { hidden: list.childElementCount === 0 }, make("h2", { textContent: "Referred to by" }), list);
  }
}

/** @param {unknown} failure */
export const messageOf = (failure) => (failure instanceof Error ? failure.message : String(failure));
