// The scroll bar of a list that may be higher than browsers allow: pixels become rows and rows become pixels.

/** No browser draws an element much higher than this many pixels. */
const MAX_HEIGHT = 8e6;

/** A Track knows which row of a list is at the top of its window. */
export class Track {
  /** @param {number} row the height of a row, in pixels */
  constructor(row) {
    this.row = row;
    this.total = 0; // rows
    this.window = 0; // pixels, without the head
    this.top = 0; // the row at the top, with a fraction
    this.last = 0; // where the scroll bar was
  }

  /** The height that the list pretends to have. */
  get height() {
    return Math.min(this.total * this.row, MAX_HEIGHT);
  }

  /** How many whole rows fit in the window. */
  get fits() {
    return Math.max(1, Math.floor(this.window / this.row));
  }

  get #maxTop() {
    return Math.max(0, this.total - this.window / this.row);
  }

  get #span() {
    return Math.max(0, this.height - this.window);
  }

  /**
   * scrolled follows the scroll bar: a short way pixel by pixel, a long one in proportion.
   * @param {number} position
   */
  scrolled(position) {
    const moved = position - this.last;
    if (moved === 0) return;
    this.last = position;
    if (this.total * this.row <= MAX_HEIGHT) this.top = position / this.row;
    else if (Math.abs(moved) > 3 * this.window || position <= 0 || position >= this.#span - 1) this.top = (position / this.#span) * this.#maxTop;
    else this.top += moved / this.row;
    this.#clamp();
  }

  /**
   * show moves as little as needed to make a row visible.
   * @param {number} row
   */
  show(row) {
    if (row < this.top) this.top = row;
    else if (row + 1 > this.top + this.window / this.row) this.top = row + 1 - this.window / this.row;
    this.#clamp();
  }

  /** settled returns where the scroll bar belongs. Set it, then call moved. */
  settled() {
    if (this.total * this.row <= MAX_HEIGHT) return this.top * this.row;
    return this.#maxTop === 0 ? 0 : Math.round((this.top / this.#maxTop) * this.#span);
  }

  /**
   * moved takes note of where the scroll bar was put, which is no scrolling.
   * @param {number} position
   */
  moved(position) {
    this.last = position;
  }

  #clamp() {
    this.top = Math.min(Math.max(0, this.top), this.#maxTop);
  }
}
