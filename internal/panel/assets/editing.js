// Editing cells: what is typed is kept until it is saved, and saved only over the value that was seen.

import { ask, make } from "./dom.js";
import { messageOf } from "./drawer.js";
import { Editor } from "./editor.js";
import { WHOLE } from "./source.js";
import { call, Failure } from "./wire.js";
import { idOf, lineOf, parse, sizeOf, textOf } from "./values.js";

/** @import { TablePage } from "./table.js" */
/** @import { Column, Row, Value } from "./values.js" */

/** Bytes of a value that the grid keeps. */
const KEPT = 256;

/** Editing is the state of the cell that is being edited, and how cells are saved. */
export class Editing {
  /** @param {TablePage} page */
  constructor(page) {
    this.page = page;
    /** @type {Editor | undefined} */
    this.editor = undefined;
    /** @type {{row: Row, column: Column, seen: Value, etag: Promise<string>} | undefined} */
    this.about = undefined;
    page.grid.element.addEventListener("scroll", () => this.editor?.place(), { passive: true });
    page.grid.addEventListener("move", () => this.editor && this.save());
  }

  /** mayWrite says so if the person may not change records. */
  mayWrite() {
    if (!this.page.about.mayWrite) this.page.say("You may read these records, but not change them.");
    return this.page.about.mayWrite;
  }

  /**
   * begin opens the editor on the current cell, with a text in place of the value if one is given.
   * @param {string} [typed]
   * @param {Value} [before] what was stored when the text was typed, if that was on another page
   */
  async begin(typed, before) {
    const { grid, about, source } = this.page;
    const row = grid.current();
    const column = about.columns[grid.at.column];
    if (this.editor || !row || !this.mayWrite()) return;
    const bytes = row.cut.get(column.name) ?? 0;
    if (row.id === "") return this.page.say("The key of this record is too long to edit it here.", true);
    if (column.type === "BLOB") return this.page.say("A BLOB cannot be typed. Store one by PUT …/cells, as docs/api/records.md shows.", true);
    if (bytes > WHOLE) return this.page.say(`This value has ${sizeOf(bytes)}. Change it by PUT …/cells, as docs/api/records.md shows.`, true);
    let seen = before === undefined ? row.values[column.name] : before;
    let read = source.value(row.id, column.name);
    if (bytes > 0 && before === undefined) {
      try {
        seen = (await read).value;
      } catch (failure) {
        return this.page.say(messageOf(failure), true);
      }
    }
    const editor = new Editor(this.page.frame, () => grid.cell(), { label: column.name, text: typed ?? textOf(column, seen), nullable: column.nullable, selected: typed === undefined });
    this.editor = editor;
    const etag = read.then((now) => {
      if (now.value !== seen && !editor.touched && this.editor === editor && this.about) {
        this.about.seen = now.value;
        editor.setText(textOf(column, now.value));
        this.#storeValue(row.id, column, now.value);
      } else if (now.value !== seen) return ""; // saving will find out
      return now.etag;
    });
    etag.catch(() => {}); // told when it is saved
    this.about = { row, column, seen, etag };
    const keep = () => this.page.drafts.set({ id: row.id, column: column.name, text: editor.field.value, seen: this.about?.seen ?? null });
    if (typed) {
      editor.touched = true;
      keep();
    }
    editor.addEventListener("input", keep);
    editor.addEventListener("cancel", () => this.cancel());
    editor.addEventListener("save", () => this.save());
  }

  /** cancel gives up what was typed. */
  cancel() {
    this.editor?.close();
    this.editor = this.about = undefined;
    this.page.drafts.set(null);
    this.page.grid.element.focus({ preventScroll: true });
  }

  /** save stores what was typed. Whatever goes wrong, it stays in the editor. */
  async save() {
    const { editor, about } = this;
    if (!editor || !about || editor.field.readOnly) return;
    const { row, column, seen } = about;
    const text = editor.field.value;
    if (!editor.touched || (!editor.isNull && seen !== null && text === textOf(column, seen).replace(/\r\n?/g, "\n"))) return this.#done(editor);
    const read = editor.isNull ? { value: null } : parse(column, text, seen);
    if ("fault" in read) {
      editor.complain(read.fault);
      editor.field.focus();
      return;
    }
    editor.busy();
    try {
      const etag = await about.etag;
      if (await this.commit(row.id, column, seen, read.value, etag, true)) return this.#done(editor);
      editor.complain("");
      about.etag = this.page.source.value(row.id, column.name).then((now) => now.etag);
      about.etag.catch(() => {});
    } catch (failure) {
      editor.complain(messageOf(failure));
      about.etag = Promise.resolve(""); // another try reads it again
    }
    editor.field.focus({ preventScroll: true });
  }

  /** @param {Editor} editor */
  #done(editor) {
    this.cancel();
    const { at } = this.page.grid;
    const [down, right] = editor.next;
    if (down || right) this.page.grid.go({ row: at.row + down, column: at.column + right });
  }

  /**
   * set stores a value in the current cell.
   * @param {null | ""} value
   */
  async set(value) {
    const { grid, about } = this.page;
    const row = grid.current();
    const column = about.columns[grid.at.column];
    if (!row || row.id === "" || row.cut.has(column.name) || !this.mayWrite()) return;
    if (value === null && !column.nullable) return this.page.say(`${column.name} cannot be NULL.`, true);
    if (value === "" && column.type !== "TEXT" && column.type !== "ANY") return this.page.say(`${column.name} holds no texts. Delete stores NULL.`, true);
    const seen = row.values[column.name];
    if (seen !== value) await this.page.attempt(() => this.commit(row.id, column, seen, value, "", true));
  }

  /**
   * commit stores a value over the one that was seen. If there is another one by now, both are shown and
   * the person decides.
   * @param {string} id
   * @param {Column} column
   * @param {Value} seen
   * @param {Value} value
   * @param {string} etag of the seen value, "" to read it
   * @param {boolean} undoable whether the change becomes a step
   * @returns {Promise<boolean>} whether the matter is settled
   */
  async commit(id, column, seen, value, etag, undoable) {
    const { source, grid } = this.page;
    let before = seen;
    for (;;) {
      if (etag === "") {
        const now = await source.value(id, column.name);
        if (now.value !== before && now.value !== value) {
          const choice = await this.#choose(column, seen, now.value, value);
          if (choice === "theirs") this.#storeValue(id, column, now.value);
          if (choice !== "mine") return choice === "theirs";
          before = now.value;
        }
        etag = now.etag;
      }
      const mark = `${id} ${column.name}`;
      grid.marks.set(mark, "saving");
      grid.redraw();
      try {
        const { data } = await call(`${source.records}/${id}?integers=string`, { method: "PATCH", body: { data: { [column.name]: value } }, headers: { "If-Match": etag } });
        const now = this.#store({ id }, data.row);
        if (undoable) this.page.changes.add({ kind: "set", id: now, column: column.name, before, after: data.row[column.name] });
        this.page.say(`${column.name} saved`);
        grid.marks.set(`${now} ${column.name}`, "saved");
        return true;
      } catch (failure) {
        if (!(failure instanceof Failure) || failure.status !== 412) throw failure;
        etag = ""; // somebody has changed it
      } finally {
        if (grid.marks.get(mark) === "saving") grid.marks.delete(mark);
        grid.redraw();
      }
    }
  }

  /**
   * choose shows the values of two people.
   * @param {Column} column
   * @param {Value} before
   * @param {Value} theirs
   * @param {Value} mine
   */
  #choose(column, before, theirs, mine) {
    /** @type {(label: string, value: Value) => HTMLElement} */
    const field = (label, value) => make("div", {}, make("dt", { textContent: label }), make("dd", { textContent: lineOf(column, value).slice(0, 2000) }));
    const list = make("dl", { className: "record" }, field("Yours", mine), field("Now stored", theirs), field("Before", before));
    return ask(`${column.name} has been changed meanwhile`, [list], [
      { value: "mine", label: "Store mine", kind: "" },
      { value: "theirs", label: "Keep what is stored" },
      { value: "", label: "Go on editing" },
    ]);
  }

  /**
   * @param {string} id
   * @param {Column} column
   * @param {Value} value
   */
  #storeValue(id, column, value) {
    const row = [...this.page.blocks.kept.values()].flat().find((kept) => kept.id === id);
    if (!row) return;
    const cut = new Map(row.cut);
    cut.delete(column.name);
    this.#store({ id, cut }, { ...row.values, [column.name]: value });
  }

  /**
   * store puts the values of a record in the grid, and returns its id.
   * @param {{id: string, cut?: Map<string, number>}} row
   * @param {Record<string, Value>} values
   */
  #store({ id, cut }, values) {
    const { key } = this.page.about;
    const now = key.length > 0 ? idOf(key, values) : id;
    /** @type {Row} */
    const row = { id: now, values: { ...values }, cut: new Map(cut ?? []) };
    for (const [name, value] of Object.entries(values)) {
      if (typeof value !== "string" || value.length <= KEPT || row.cut.has(name)) continue;
      row.cut.set(name, new TextEncoder().encode(value).length);
      row.values[name] = value.slice(0, KEPT);
    }
    this.page.blocks.replace((kept) => kept.id === id, row);
    if (now !== id) this.page.changes.rename(id, now);
    this.page.grid.redraw();
    return now;
  }
}
