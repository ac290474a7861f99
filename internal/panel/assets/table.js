// The page of a table: it puts the grid in the place of the plain list.

import { Blocks, BLOCK } from "./blocks.js";
import { Changes, Drafts } from "./changes.js";
import { find, make } from "./dom.js";
import { Drawer, messageOf } from "./drawer.js";
import { Editing } from "./editing.js";
import { RecordForm } from "./form.js";
import { Grid } from "./grid.js";
import { headsOf } from "./heads.js";
import { listenToKeys } from "./keys.js";
import { deleteSelected, undo } from "./records.js";
import { Source } from "./source.js";
import { countOf, filtersFor, rowsOf } from "./values.js";
import { Widths } from "./widths.js";

/** @import { Description } from "./source.js" */
/** @import { Row } from "./values.js" */

/** TablePage holds the parts of the page together. */
export class TablePage {
  constructor() {
    /** @type {Description} */
    this.about = JSON.parse(find("about").textContent ?? "");
    this.source = new Source(this.about);
    this.status = find("status");
    this.count = find("count");
    this.total = 0;
    this.totalIs = "at_least"; // or exact, estimate
    const rows = this.about.window ? rowsOf(this.about.key, this.about.window) : [];
    this.blocks = new Blocks(
      (first, limit) => this.#page(first, limit),
      (failure) => this.say(messageOf(failure), true),
    );
    this.widths = new Widths(`zt:widths:${this.about.api}:${this.about.id}`, this.about.columns, rows);
    const linked = new Set(this.about.foreignKeys.filter(({ columns }) => columns.length === 1).map(({ columns }) => columns[0]));
    const heads = headsOf(this.about, (j, width) => this.resize(j, width));
    this.grid = new Grid(find("grid"), this.about.columns, this.blocks, { widths: this.widths, linked, heads });
    this.drawer = new Drawer(find("drawer"), this.source);
    this.frame = find("frame");
    const name = `${this.about.api}:${this.about.id}`;
    this.changes = new Changes(sessionStorage, `zt:changes:${name}`);
    this.drafts = new Drafts(sessionStorage, `zt:draft:${name}`);
    this.draft = this.drafts.get(); // of before the page was loaded
    this.editing = new Editing(this);
    this.#connect();
    this.#begin(rows);
  }

  #connect() {
    this.grid.addEventListener("open", () => this.open());
    this.grid.addEventListener("follow", () => this.follow());
    this.grid.addEventListener("act", () => this.editing.begin());
    this.grid.addEventListener("move", () => {
      if (this.drawer.open && this.drawer.id !== "") this.open();
    });
    this.drawer.addEventListener("edit", () => this.#editFromDrawer());
    for (const [id, act] of /** @type {[string, () => void][]} */ ([["new", () => this.newRecord()], ["delete", () => deleteSelected(this)], ["undo", () => undo(this, "undo")]])) {
      document.getElementById(id)?.addEventListener("click", act);
    }
    document.querySelector(".top form")?.addEventListener("submit", () => sessionStorage.clear()); // whoever comes next sees nothing
    addEventListener("focus", () => {
      if (!this.editing.editor && this.total > 0) this.refresh(); // others may have changed what is shown
    });
    this.drawer.addEventListener("close", () => this.close());
    this.drawer.addEventListener("previous", () => this.grid.go({ ...this.grid.at, row: this.grid.at.row - 1 }));
    this.drawer.addEventListener("next", () => this.grid.go({ ...this.grid.at, row: this.grid.at.row + 1 }));
    find("grid").addEventListener("scrollend", () => this.#remember());
    find("goto").addEventListener("submit", (event) => {
      event.preventDefault();
      const row = Number(/** @type {HTMLInputElement} */ (find("row")).value.replace(/[^\d]/g, ""));
      if (row > 0) this.jump(row - 1);
    });
    this.count.addEventListener("click", () => this.countExactly());
    listenToKeys(this);
  }

  /** @param {Row[]} rows of the window that came in the page */
  async #begin(rows) {
    find("plain").hidden = true;
    find("live").hidden = false;
    document.getElementById("tools")?.removeAttribute("hidden");
    if (innerWidth < 720) document.querySelector(".rail details")?.removeAttribute("open");
    const first = Math.max(0, Number(new URLSearchParams(location.search).get("row")) - 1) || 0;
    if (this.about.window) {
      this.total = rows.length + (this.about.window.has_more ? 1 : 0);
      this.totalIs = this.about.window.has_more ? "at_least" : "exact";
      this.blocks.put(0, rows, this.about.window.has_more);
    }
    this.#counted();
    this.grid.element.focus({ preventScroll: true });
    if (this.totalIs !== "exact") await this.recount("estimate");
    if (first > 0) await this.jump(first, 0);
    if (this.draft) this.#offer(this.draft);
  }

  /**
   * @param {number} first
   * @param {number} limit
   */
  async #page(first, limit) {
    const began = performance.now();
    const answer = await this.source.page(first, limit);
    const took = Math.round(performance.now() - began);
    if (answer.rows.length > 0) this.say(`Rows ${countOf(first + 1)}–${countOf(first + answer.rows.length)} in ${took} ms${this.source.byPosition ? "" : ". No index has this order, so each part sorts the whole table"}`);
    if (!answer.more) this.#ended(first + answer.rows.length, answer.rows.length === 0 && first > 0);
    else if (first + answer.rows.length >= this.total) this.#counted(first + answer.rows.length + 1, "at_least");
    return answer;
  }

  /**
   * ended takes note of where the list ends. Beyond the end, it does not say where that was.
   * @param {number} total
   * @param {boolean} beyond
   */
  #ended(total, beyond) {
    if (beyond) this.recount("exact");
    else this.#counted(total, "exact");
  }

  /**
   * counted shows how many records there are.
   * @param {number} [total]
   * @param {string} [is]
   */
  #counted(total = this.total, is = this.totalIs) {
    this.total = total;
    this.totalIs = is;
    const about = { exact: "", at_least: "at least ", estimate: "about " }[is] ?? "";
    this.count.textContent = `${about}${countOf(total)} ${total === 1 ? "record" : "records"}`;
    this.count.title = is === "exact" ? "" : "Count exactly";
    this.count.toggleAttribute("disabled", is === "exact");
    find("none").hidden = total > 0;
    const gutter = this.widths.gutter;
    this.widths.fit(total);
    this.grid.setTotal(total);
    if (gutter !== this.widths.gutter) this.grid.rebuild();
  }

  /** @param {"estimate" | "exact"} how */
  async recount(how) {
    try {
      const { total, is } = await this.source.count(how);
      this.#counted(is === "at_least" ? Math.max(total, this.total) : total, is);
    } catch (failure) {
      this.say(messageOf(failure), true);
    }
  }

  async countExactly() {
    if (this.totalIs !== "exact") await this.recount("exact");
  }

  /**
   * say shows a sentence below the grid.
   * @param {string} text
   * @param {boolean} [fault]
   */
  say(text, fault = false) {
    this.status.textContent = text;
    this.status.classList.toggle("fault", fault);
  }

  /**
   * jump goes to a row, which is counted from 0, and shows it so many rows below the top.
   * @param {number} row
   * @param {number} [below]
   */
  async jump(row, below = Math.floor(this.grid.track.fits / 3)) {
    if (row >= this.total && this.totalIs !== "exact") await this.recount("exact");
    this.grid.track.top = row - below;
    this.grid.go({ ...this.grid.at, row });
    this.grid.element.focus({ preventScroll: true });
    this.#remember();
  }

  /** remember keeps the place in the address. */
  #remember() {
    const address = new URL(location.href);
    const row = Math.ceil(this.grid.track.top) + 1;
    if (row > 1) address.searchParams.set("row", String(row));
    else address.searchParams.delete("row");
    history.replaceState(history.state, "", address);
  }

  /**
   * resize changes the width of a column.
   * @param {number} j
   * @param {number | "fit"} width
   */
  resize(j, width) {
    if (width === "fit") this.widths.fitTo(j, [...this.blocks.kept.values()].flat().slice(0, 2000));
    else this.widths.set(j, width);
    this.grid.rebuild();
  }

  /** toEnd goes to the last row, which may have to be counted first. */
  async toEnd() {
    if (this.totalIs === "at_least") await this.recount("exact");
    this.grid.go({ row: this.total - 1, column: this.about.columns.length - 1 });
  }

  /** open shows the current record in the drawer. */
  open() {
    const row = this.grid.current();
    if (!row) return;
    if (row.id === "") this.say("The key of this record is too long to open it here.", true);
    else if (row.id !== this.drawer.id) this.drawer.show(row.id, this.grid.at.row + 1);
  }

  close() {
    this.drawer.close();
    this.grid.element.focus({ preventScroll: true });
  }

  /** follow goes to the record that the current value refers to. */
  follow() {
    const name = this.about.columns[this.grid.at.column].name;
    const fk = this.about.foreignKeys.find(({ columns }) => columns.length === 1 && columns[0] === name);
    const row = this.grid.current();
    if (!fk || !row || row.values[name] === null || row.cut.has(name)) return;
    location.href = this.source.tablePage(fk.parent_table, filtersFor(fk.parent_columns, [row.values[name]]));
  }

  #editFromDrawer() {
    const column = this.about.columns.findIndex(({ name }) => name === this.drawer.column);
    this.close();
    this.grid.go({ ...this.grid.at, column });
    this.editing.begin();
  }

  /** newRecord opens the form of a new record. */
  newRecord() {
    if (this.editing.mayWrite() && !this.editing.editor) this.#form({});
  }

  /** @param {Record<string, string | null>} given */
  #form(given) {
    this.drawer.close();
    new RecordForm(this, this.drawer.element, given);
  }

  /**
   * inserted shows a record that has just been made.
   * @param {string} id
   */
  async inserted(id) {
    this.close();
    this.changed(1, "Record saved");
    if (id !== "") await this.#find(id);
  }

  /**
   * find goes to a record by its id, and reports whether it is in this list.
   * @param {string} id
   */
  async #find(id) {
    if (this.about.view.filters) return false;
    try {
      const { position } = await this.source.record(id, true);
      if (position === undefined) return false;
      await this.jump(position);
      await this.blocks.want(Math.floor(position / BLOCK));
      this.grid.redraw();
    } catch {
      return false; // gone, or in an order in which no position can be found
    }
    return this.grid.current()?.id === id;
  }

  /**
   * offer says that something was typed and not saved.
   * @param {import("./changes.js").Draft} draft
   */
  #offer(draft) {
    const bar = find("bar");
    const what = "record" in draft ? "You have not saved a new record." : `You have not saved what you typed into ${draft.column} of record ${decodeURIComponent(draft.id)}: `;
    const text = make("code", { className: "cut", textContent: "record" in draft ? "" : draft.text });
    /** @type {(label: string, kind: string, act: () => void) => HTMLElement} */
    const button = (label, kind, act) => {
      const made = make("button", { type: "button", className: kind, textContent: label });
      made.addEventListener("click", act);
      return made;
    };
    const end = () => (bar.hidden = true);
    bar.replaceChildren(
      make("span", { textContent: what }),
      text,
      button("Go on", "", () => this.#resume(draft).then((resumed) => resumed && end())),
      button("Discard", "second", () => {
        this.drafts.set(null);
        end();
      }),
    );
    bar.hidden = false;
  }

  /** @param {import("./changes.js").Draft} draft */
  async #resume(draft) {
    if ("record" in draft) {
      this.#form(draft.record);
      return true;
    }
    const column = this.about.columns.findIndex(({ name }) => name === draft.column);
    if (column < 0 || !(await this.#find(draft.id))) {
      this.say("That record or column is not in this list any more. Your text stays above; copy it from there.", true);
      return false;
    }
    this.grid.go({ ...this.grid.at, column });
    await this.editing.begin(draft.text, draft.seen);
    return true;
  }

  /**
   * attempt says below the grid why something failed.
   * @template T
   * @param {() => Promise<T>} act
   * @returns {Promise<T | undefined>}
   */
  async attempt(act) {
    try {
      return await act();
    } catch (failure) {
      this.say(messageOf(failure), true);
      return undefined;
    }
  }

  /**
   * changed shows the table after records were added or removed.
   * @param {number} more
   * @param {string} text
   */
  changed(more, text) {
    if (more !== 0) {
      this.grid.anchor = this.grid.at.row;
      this.#counted(Math.max(0, this.total + more), this.totalIs);
      this.refresh();
    }
    this.say(text);
    this.grid.element.focus({ preventScroll: true });
  }

  /** refresh reads again what is on the screen. */
  async refresh() {
    await this.blocks.renew(this.grid.blocksSeen());
    this.grid.redraw();
  }
}

new TablePage();
