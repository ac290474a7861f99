// The grid: any row of a table, of which only those on the screen are elements.

import { BLOCK } from "./blocks.js";
import { make } from "./dom.js";
import { Track } from "./track.js";
import { Widths } from "./widths.js";
import { fillCell } from "./cells.js";

/** @import { Blocks } from "./blocks.js" */
/** @import { Column, Row, Value } from "./values.js" */

const ROW = 28; // the height of a row, and of the head; --row in the style sheet
const REST = 40; // milliseconds without scrolling until rows that fly by are worth fetching
const MANY = 40; // columns; of more, only those near the window are elements

/**
 * @typedef {HTMLElement & {no?: number, data?: Row | null, version?: number}} RowElement
 * @typedef {{row: number, column: number}} Place
 */

/** A Grid shows the rows of blocks in an element with the role grid. It tells of "move", "open", "follow" and "act" by events. */
export class Grid extends EventTarget {
  /**
   * @param {HTMLElement} element
   * @param {Column[]} columns
   * @param {Blocks<Row>} blocks
   * @param {{widths: Widths, linked: Set<string>, heads: HTMLElement[]}} options linked are columns that refer to other records
   */
  constructor(element, columns, blocks, { widths, linked, heads }) {
    super();
    this.element = element;
    this.columns = columns;
    this.blocks = blocks;
    this.widths = widths;
    this.linked = linked;
    this.track = new Track(ROW);
    /** @type {Place} */
    this.at = { row: 0, column: 0 };
    this.anchor = 0; // the row where the selection began
    this.version = 0; // grows when the cells must be made anew
    this.direction = 1;
    /** @type {RowElement[]} */
    this.rows = [];
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {Map<string, string>} marks of cells, by id and column */
    this.marks = new Map();
    this.heads = heads;
    this.space = make("div", { className: "space", role: "none" });
    this.head = make("div", { role: "row", className: "head", ariaRowIndex: "1" });
    this.sheet = make("div", { role: "rowgroup", className: "sheet" }, this.head);
    element.replaceChildren(this.space, this.sheet);
    element.ariaColCount = String(columns.length + 1);
    this.range = this.#near();
    this.#makeHead();
    this.#listen();
    new ResizeObserver(() => this.resize()).observe(element);
  }

  #listen() {
    this.element.addEventListener(
      "scroll",
      () => {
        const before = this.track.top;
        this.track.scrolled(this.element.scrollTop);
        this.direction = Math.sign(this.track.top - before) || this.direction;
        this.draw();
      },
      { passive: true },
    );
    this.element.addEventListener("scrollend", () => this.#settle());
    this.element.addEventListener("click", (event) => this.#clicked(event));
    this.element.addEventListener("dblclick", (event) => {
      if (this.#placeOf(event)) this.#tell("act");
    });
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const cell = /** @type {Element} */ (event.target).closest("[role=gridcell],[role=rowheader]");
    const place = this.#placeOf(event);
    if (!cell || !place) return;
    if (cell.role === "rowheader") {
      this.go({ row: place.row, column: this.at.column }, event.shiftKey);
      if (!event.shiftKey) this.#tell("open");
    } else this.go(place, event.shiftKey);
    if (/** @type {Element} */ (event.target).closest(".follow")) this.#tell("follow");
  }

  /**
   * @param {MouseEvent} event
   * @returns {Place | undefined}
   */
  #placeOf(event) {
    const cell = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[role=gridcell],[role=rowheader]"));
    const row = /** @type {RowElement | undefined} */ (cell?.parentElement ?? undefined);
    if (!cell || row?.no === undefined) return undefined;
    return { row: row.no, column: Number(cell.ariaColIndex) - 2 };
  }

  /** @param {string} kind */
  #tell(kind) {
    this.dispatchEvent(new Event(kind));
  }

  /** @param {number} total */
  setTotal(total) {
    this.track.total = total;
    this.element.ariaRowCount = String(total + 1);
    this.at.row = Math.min(this.at.row, Math.max(0, total - 1));
    this.anchor = Math.min(this.anchor, Math.max(0, total - 1));
    this.resize();
  }

  /** resize measures the window anew. */
  resize() {
    this.track.window = Math.max(ROW, this.element.clientHeight - ROW);
    const width = `${this.widths.gutter + this.widths.all}px`;
    this.space.style.height = `${this.track.height + ROW}px`;
    this.space.style.width = width;
    this.sheet.style.width = width;
    this.#settle();
    this.draw();
  }

  /** rebuild makes all cells anew, after columns have changed. */
  rebuild() {
    this.version++;
    this.#makeHead();
    this.resize();
  }

  #makeHead() {
    const corner = make("div", { role: "columnheader", className: "gutter", ariaColIndex: "1", ariaLabel: "Row" });
    corner.style.width = `${this.widths.gutter}px`;
    const [from, to] = this.range;
    const heads = this.heads.slice(from, to);
    heads.forEach((head, i) => {
      head.style.width = `${this.widths.of(from + i)}px`;
      head.style.marginLeft = i === 0 ? `${this.widths.before(from)}px` : "";
    });
    this.head.replaceChildren(corner, ...heads);
  }

  /** near returns which columns are elements: all, or those near the window. */
  #near() {
    const n = this.columns.length;
    if (n <= MANY) return [0, n];
    const left = this.element.scrollLeft;
    const from = this.widths.at(left - 800);
    const to = this.widths.at(left + this.element.clientWidth + 800) + 1;
    return [from, Math.min(n, to)];
  }

  /** draw brings the elements in line with where the list is, and fetches what is missing. */
  draw() {
    const needed = this.#near();
    if (this.columns.length > MANY && (needed[0] > this.#firstSeen() || needed[1] < this.range[1] - 20 || this.#lastSeen() > this.range[1] || this.#firstSeen() < this.range[0])) {
      if (needed[0] !== this.range[0] || needed[1] !== this.range[1]) {
        this.range = needed;
        this.version++;
        this.#makeHead();
      }
    }
    const first = Math.floor(this.track.top);
    const shift = (this.track.top - first) * ROW;
    const need = Math.ceil(this.track.window / ROW) + 2;
    while (this.rows.length < need) {
      const row = make("div", { role: "row" });
      this.rows.push(row);
      this.sheet.append(row);
    }
    for (let k = 0; k < this.rows.length; k++) {
      const i = first + k;
      const row = this.rows[i % this.rows.length]; // a row keeps its element while it is on the screen
      row.hidden = i >= this.track.total || k >= need;
      if (row.hidden) {
        row.no = undefined;
        continue;
      }
      row.style.transform = `translateY(${ROW + k * ROW - shift}px)`;
      this.#fill(row, i);
    }
    this.#point();
    this.#fetch(first, need);
  }

  #firstSeen() {
    return this.widths.at(this.element.scrollLeft);
  }

  #lastSeen() {
    return Math.min(this.columns.length, this.widths.at(this.element.scrollLeft + this.element.clientWidth) + 1);
  }

  /**
   * @param {RowElement} row
   * @param {number} i
   */
  #fill(row, i) {
    const data = this.blocks.row(i) ?? null;
    const [from, to] = this.range;
    if (row.version !== this.version) this.#makeCells(row);
    else if (row.no === i && row.data === data) return;
    row.version = this.version;
    row.no = i;
    row.data = data;
    row.ariaRowIndex = String(i + 2);
    row.classList.toggle("wait", data === null);
    const number = row.children[0];
    number.textContent = String(i + 1);
    for (let j = from; j < to; j++) {
      const cell = /** @type {HTMLElement} */ (row.children[1 + j - from]);
      cell.id = `c${i}-${j}`;
      fillCell(cell, this.columns[j], data, this.linked.has(this.columns[j].name), this.marks.get(`${data?.id} ${this.columns[j].name}`));
    }
  }

  /** @param {RowElement} row */
  #makeCells(row) {
    const [from, to] = this.range;
    const number = make("div", { role: "rowheader", className: "gutter", ariaColIndex: "1", title: "Show the record" });
    number.style.width = `${this.widths.gutter}px`;
    const cells = [];
    for (let j = from; j < to; j++) {
      const cell = make("div", { role: "gridcell", ariaColIndex: String(j + 2) });
      cell.style.width = `${this.widths.of(j)}px`;
      if (j === from) cell.style.marginLeft = `${this.widths.before(from)}px`;
      cells.push(cell);
    }
    row.replaceChildren(number, ...cells);
  }

  /** point marks the current cell and the selected rows. */
  #point() {
    for (const cell of this.sheet.querySelectorAll(".at")) cell.classList.remove("at");
    const current = this.cell();
    current?.classList.add("at");
    if (current) this.element.setAttribute("aria-activedescendant", current.id);
    else this.element.removeAttribute("aria-activedescendant");
    const [from, to] = this.selection();
    for (const row of this.rows) {
      const selected = to > from && row.no !== undefined && row.no >= from && row.no <= to;
      row.classList.toggle("selected", selected);
      row.ariaSelected = selected ? "true" : null;
    }
  }

  /**
   * @param {number} first
   * @param {number} need
   */
  #fetch(first, need) {
    clearTimeout(this.timer);
    const from = Math.floor(first / BLOCK);
    const to = Math.floor(Math.max(0, Math.min(first + need, this.track.total) - 1) / BLOCK);
    const here = this.blocks.kept.has(from) && this.blocks.kept.has(to);
    const age = this.blocks.age;
    this.timer = setTimeout(
      async () => {
        await this.blocks.want(from);
        await this.blocks.want(to);
        if (!here && age === this.blocks.age) this.draw();
        const ahead = this.direction > 0 ? to + 1 : from - 1;
        if (ahead * BLOCK < this.track.total) await this.blocks.want(ahead);
      },
      here ? 0 : REST,
    );
  }

  /** blocksSeen returns the blocks of which rows are on the screen. */
  blocksSeen() {
    const from = Math.floor(this.track.top / BLOCK);
    const to = Math.floor(Math.max(0, Math.min(this.track.top + this.track.fits + 1, this.track.total) - 1) / BLOCK);
    return from === to ? [from] : [from, to];
  }

  #settle() {
    const position = this.track.settled();
    if (Math.abs(position - this.element.scrollTop) >= 1) this.element.scrollTop = position;
    this.track.moved(this.element.scrollTop);
  }

  /**
   * go makes another cell the current one. With extend, the rows from the anchor on are selected.
   * @param {Place} place
   * @param {boolean} [extend]
   */
  go({ row, column }, extend = false) {
    this.at = { row: Math.min(Math.max(0, row), Math.max(0, this.track.total - 1)), column: Math.min(Math.max(0, column), this.columns.length - 1) };
    if (!extend) this.anchor = this.at.row;
    this.track.show(this.at.row);
    const left = this.widths.before(this.at.column);
    const right = left + this.widths.of(this.at.column) + this.widths.gutter;
    if (left < this.element.scrollLeft) this.element.scrollLeft = left;
    else if (right > this.element.scrollLeft + this.element.clientWidth) this.element.scrollLeft = right - this.element.clientWidth;
    this.#settle();
    this.draw();
    this.#tell("move");
  }

  /** selection returns the first and the last selected row. */
  selection() {
    return [Math.min(this.anchor, this.at.row), Math.max(this.anchor, this.at.row)];
  }

  /** cell returns the element of the current cell, null if it is not on the screen. */
  cell() {
    return document.getElementById(`c${this.at.row}-${this.at.column}`);
  }

  /** current returns the current record, undefined while it is not here. */
  current() {
    return this.blocks.row(this.at.row);
  }

  /** redraw fills the cells again with what the blocks have. */
  redraw() {
    for (const row of this.rows) row.no = undefined;
    this.draw();
  }
}
