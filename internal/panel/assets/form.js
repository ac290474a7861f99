// The form of a new record, in the drawer; what is typed there is kept until it is saved.

import { make } from "./dom.js";
import { messageOf } from "./drawer.js";
import { insert } from "./records.js";
import { parse } from "./values.js";
import { Failure } from "./wire.js";

/** @import { TablePage } from "./table.js" */
/** @import { Column, Value } from "./values.js" */

/** A RecordForm collects the values of a new record. A value that is not given is left to the server. */
export class RecordForm {
  /**
   * @param {TablePage} page
   * @param {HTMLElement} drawer
   * @param {Record<string, string | null>} [given]
   */
  constructor(page, drawer, given = {}) {
    this.page = page;
    this.drawer = drawer;
    this.given = given;
    this.key = crypto.randomUUID(); // so that a second try cannot make a second record
    /** @type {Map<string, {field: HTMLTextAreaElement, fault: HTMLElement}>} */
    this.fields = new Map();
    this.fault = make("p", { className: "fault", role: "alert", hidden: true });
    const form = make("form", { className: "fields newrecord" }, ...page.about.columns.map((column) => this.#field(column)), this.fault);
    const save = make("button", { textContent: "Save" });
    const cancel = make("button", { type: "button", className: "second", textContent: "Discard" });
    cancel.addEventListener("click", () => this.#close());
    form.append(make("div", { className: "row" }, save, cancel));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#save();
    });
    drawer.replaceChildren(make("div", { className: "head" }, make("h2", { textContent: "New record" })), form);
    drawer.hidden = false;
    const first = page.about.columns.find(({ name, optional }) => !optional && this.fields.has(name)) ?? page.about.columns.find(({ name, key }) => !key && this.fields.has(name));
    if (first) this.fields.get(first.name)?.field.focus();
  }

  /** @param {Column} column */
  #field(column) {
    const about = [column.type, ...(column.key ? ["key"] : []), ...(column.optional ? [] : ["required"])].join(" · ");
    if (column.type === "BLOB") return make("p", { className: "quiet", textContent: `${column.name}: a BLOB is stored by PUT …/cells once the record is there.` });
    const fault = make("small", { className: "fault", role: "alert", hidden: true });
    const field = make("textarea", { rows: 1, spellcheck: false, value: this.given[column.name] ?? "" });
    const describe = () => {
      const value = this.given[column.name];
      field.placeholder = value === null ? "NULL" : value === "" ? "empty text" : column.optional ? "left to the server" : "";
    };
    const give = (/** @type {string | null | undefined} */ value) => {
      if (value === undefined) delete this.given[column.name];
      else this.given[column.name] = value;
      this.key = crypto.randomUUID();
      this.page.drafts.set({ record: this.given });
      describe();
    };
    field.addEventListener("input", () => {
      field.rows = Math.min(8, field.value.split("\n").length);
      give(field.value === "" ? undefined : field.value);
    });
    /** @type {(label: string, value: string | null) => HTMLElement} */
    const choice = (label, value) => {
      const button = make("button", { type: "button", className: "quiet", textContent: label, ariaLabel: `${column.name}: ${label}` });
      button.addEventListener("click", () => {
        field.value = "";
        give(value);
      });
      return button;
    };
    const choices = make("span", { className: "choices" });
    if (column.nullable) choices.append(choice("NULL", null));
    if (column.type === "TEXT" || column.type === "ANY") choices.append(choice("empty", ""));
    describe();
    this.fields.set(column.name, { field, fault });
    return make("div", { className: "newfield" }, make("label", {}, make("span", {}, `${column.name} `, make("small", { textContent: about })), field), choices, fault);
  }

  async #save() {
    /** @type {Record<string, Value>} */
    const data = {};
    let right = true;
    for (const column of this.page.about.columns) {
      const text = this.given[column.name];
      this.#complain(column.name, "");
      if (text === undefined) continue;
      const read = text === null ? { value: null } : parse(column, text);
      if ("fault" in read) right = this.#complain(column.name, read.fault);
      else data[column.name] = read.value;
    }
    this.fault.hidden = true;
    if (!right) return;
    try {
      const made = await insert(this.page, data, this.key);
      this.page.drafts.set(null);
      await this.page.inserted(made.id);
    } catch (failure) {
      this.#refused(failure);
    }
  }

  /**
   * complain says what is wrong with a field; "" for nothing.
   * @param {string} name
   * @param {string} text
   */
  #complain(name, text) {
    const parts = this.fields.get(name);
    if (parts) {
      parts.fault.textContent = text;
      parts.fault.hidden = text === "";
      parts.field.ariaInvalid = text === "" ? null : "true";
      if (text !== "") parts.field.focus();
    }
    return parts !== undefined && text === "";
  }

  /** @param {unknown} failure */
  #refused(failure) {
    const details = failure instanceof Failure ? failure.details : [];
    const placed = details.filter(({ field, message }) => {
      const name = field.replace(/^data\./, "");
      if (!this.fields.has(name)) return false;
      this.#complain(name, message);
      return true;
    });
    this.fault.hidden = placed.length > 0 && placed.length === details.length;
    this.fault.textContent = messageOf(failure);
  }

  #close() {
    this.page.drafts.set(null);
    this.page.close();
  }
}
