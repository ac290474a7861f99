// The field in which the value of a cell is edited.

import { make } from "./dom.js";

/** An Editor is a field over a cell. It tells of "save", "cancel" and "input" by events. */
export class Editor extends EventTarget {
  /**
   * @param {HTMLElement} frame in which the field is placed
   * @param {() => HTMLElement | null} cell over which it is placed
   * @param {{label: string, text: string, nullable: boolean, selected: boolean}} about
   */
  constructor(frame, cell, { label, text, nullable, selected }) {
    super();
    this.frame = frame;
    this.cell = cell;
    this.touched = false;
    this.isNull = false;
    this.next = [0, 0]; // where to go after saving: rows down, columns right
    this.field = make("textarea", { value: text, ariaLabel: label, spellcheck: false, rows: 1 });
    this.fault = make("p", { className: "fault", role: "alert", hidden: true });
    const none = make("button", { type: "button", className: "second", textContent: "NULL", title: "Store NULL (Alt+Delete)", hidden: !nullable });
    none.addEventListener("click", () => this.#saveNull());
    const save = make("button", { type: "button", textContent: "Save", title: "Enter" });
    save.addEventListener("click", () => this.#save(0, 0));
    const cancel = make("button", { type: "button", className: "second", textContent: "Cancel", title: "Esc" });
    cancel.addEventListener("click", () => this.#tell("cancel"));
    this.element = make("div", { className: "editor" }, this.field, this.fault, make("div", { className: "row" }, save, none, cancel));
    this.field.addEventListener("input", () => {
      this.touched = true;
      this.isNull = false;
      this.#grow();
      this.#tell("input");
    });
    this.field.addEventListener("keydown", (event) => this.#key(event));
    frame.append(this.element);
    this.place();
    this.#grow();
    this.field.focus({ preventScroll: true });
    if (selected) this.field.select();
    else this.field.setSelectionRange(text.length, text.length);
  }

  /** @param {string} kind */
  #tell(kind) {
    this.dispatchEvent(new Event(kind));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    event.stopPropagation();
    const { key, altKey, shiftKey } = event;
    const plain = !event.ctrlKey && !event.metaKey;
    if (event.isComposing) return;
    if (key === "Escape") this.#tell("cancel");
    else if (key === "Enter" && altKey) document.execCommand("insertText", false, "\n");
    else if (key === "Enter" && plain && !shiftKey) this.#save(1, 0);
    else if (key === "Tab" && plain) this.#save(0, shiftKey ? -1 : 1);
    else if (key === "Delete" && altKey) this.#saveNull();
    else return;
    event.preventDefault();
  }

  /**
   * @param {number} down
   * @param {number} right
   */
  #save(down, right) {
    this.next = [down, right];
    this.#tell("save");
  }

  #saveNull() {
    this.touched = true;
    this.isNull = true;
    this.#save(0, 0);
  }

  /**
   * setText puts another text in the field.
   * @param {string} text
   */
  setText(text) {
    this.field.value = text;
    this.#grow();
  }

  /**
   * complain says below the field what is wrong; "" for nothing.
   * @param {string} text
   */
  complain(text) {
    this.fault.textContent = text;
    this.fault.hidden = text === "";
    this.field.ariaInvalid = text === "" ? null : "true";
    this.field.readOnly = false;
  }

  /** busy keeps the text as it is while it is saved. */
  busy() {
    this.field.readOnly = true;
  }

  /** place puts the field over its cell, or at the nearest edge. */
  place() {
    const frame = this.frame.getBoundingClientRect();
    const cell = this.cell()?.getBoundingClientRect();
    if (!cell) return;
    const width = Math.min(Math.max(cell.width, 240), frame.width - 8);
    const left = Math.max(0, Math.min(cell.left - frame.left, frame.width - width - 4));
    const top = Math.max(28, Math.min(cell.top - frame.top, frame.height - 140));
    this.element.style.left = `${left}px`;
    this.element.style.top = `${top}px`;
    this.element.style.width = `${width}px`;
  }

  #grow() {
    this.field.rows = Math.min(6, Math.max(1, this.field.value.split("\n").length, Math.ceil(this.field.value.length / 60)));
  }

  close() {
    this.element.remove();
  }
}
