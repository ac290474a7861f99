// What has been changed in a table and can be undone, and what has been typed but not saved; the tab of the browser remembers both.

import { remember, remembered } from "./dom.js";

/** @import { Value } from "./values.js" */

/**
 * A step that can be undone and redone. rows hold whole records.
 * @typedef {{kind: "set", id: string, column: string, before: Value, after: Value}
 *   | {kind: "insert" | "delete", ids: string[], rows: Record<string, Value>[]}} Step
 */

/** Steps that are kept. */
const MAX_STEPS = 100;

/** Changes are the steps of a table, the latest last. */
export class Changes {
  /**
   * @param {Storage} storage
   * @param {string} name
   */
  constructor(storage, name) {
    this.storage = storage;
    this.name = name;
    const kept = remembered(storage, name);
    /** @type {Step[]} */
    this.done = Array.isArray(kept?.done) ? kept.done : [];
    /** @type {Step[]} */
    this.undone = Array.isArray(kept?.undone) ? kept.undone : [];
  }

  /**
   * add takes note of a change. What was undone before cannot be redone any more.
   * @param {Step} step
   */
  add(step) {
    this.done.push(step);
    this.done.splice(0, this.done.length - MAX_STEPS);
    this.undone = [];
    this.#keep();
  }

  /**
   * move takes the latest step from one list to the other, once act has carried it out.
   * @param {"undo" | "redo"} which
   * @param {(step: Step) => Promise<boolean>} act reports whether it was carried out
   * @returns {Promise<Step | undefined>} undefined if there is none, or if it was not
   */
  async move(which, act) {
    const [from, to] = which === "undo" ? [this.done, this.undone] : [this.undone, this.done];
    const step = from[from.length - 1];
    if (!step || !(await act(step))) return undefined;
    from.pop();
    to.push(step);
    this.#keep();
    return step;
  }

  /**
   * rename follows a record that has got another key.
   * @param {string} from
   * @param {string} to
   */
  rename(from, to) {
    for (const step of [...this.done, ...this.undone]) {
      if (step.kind === "set" && step.id === from) step.id = to;
      if (step.kind !== "set") step.ids = step.ids.map((id) => (id === from ? to : id));
    }
    this.#keep();
  }

  #keep() {
    // Without room, the steps live as long as the page.
    if (!remember(this.storage, this.name, { done: this.done, undone: this.undone })) remember(this.storage, this.name, null);
  }
}

/**
 * What somebody has typed: into a cell, or into the form of a new record.
 * @typedef {{id: string, column: string, text: string, seen: Value} | {record: Record<string, string | null>}} Draft
 */

/** Drafts keeps the one draft of a table until it is saved or given up. */
export class Drafts {
  /**
   * @param {Storage} storage
   * @param {string} name
   */
  constructor(storage, name) {
    this.storage = storage;
    this.name = name;
  }

  /** @returns {Draft | null} */
  get() {
    const draft = remembered(this.storage, this.name);
    if (typeof draft?.record === "object" && draft.record !== null) return draft;
    return typeof draft?.id === "string" && typeof draft.column === "string" && typeof draft.text === "string" ? draft : null;
  }

  /** @param {Draft | null} draft */
  set(draft) {
    return remember(this.storage, this.name, draft);
  }
}
