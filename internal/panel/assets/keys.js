// The keys of the grid.

import { find } from "./dom.js";
import { deleteSelected, undo } from "./records.js";

/** @import { TablePage } from "./table.js" */

/**
 * listenToKeys makes the keys work while the grid has the focus.
 * @param {TablePage} page
 */
export function listenToKeys(page) {
  const { grid } = page;
  grid.element.addEventListener("keydown", (event) => {
    if (event.target !== grid.element) return;
    const handled = moves(page, event) || acts(page, event);
    if (handled) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "g" || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const row = /** @type {HTMLInputElement} */ (find("row"));
    row.focus();
    row.select();
  });
}

/**
 * moves goes to another cell, if the key says so.
 * @param {TablePage} page
 * @param {KeyboardEvent} event
 */
function moves(page, event) {
  const { grid, total } = page;
  if (event.altKey) return false;
  const far = event.ctrlKey || event.metaKey;
  const last = grid.columns.length;
  const step = {
    ArrowDown: far ? [total, 0] : [1, 0],
    ArrowUp: far ? [-total, 0] : [-1, 0],
    ArrowRight: far ? [0, last] : [0, 1],
    ArrowLeft: far ? [0, -last] : [0, -1],
    PageDown: [grid.track.fits, 0],
    PageUp: [-grid.track.fits, 0],
    Home: far ? [-total, -last] : [0, -last],
    End: far ? [total, last] : [0, last],
  }[event.key];
  if (!step) return false;
  if (event.key === "End" && far) {
    page.toEnd();
    return true;
  }
  grid.go({ row: grid.at.row + step[0], column: grid.at.column + step[1] }, event.shiftKey);
  return true;
}

/**
 * acts does what the key says with the current record.
 * @param {TablePage} page
 * @param {KeyboardEvent} event
 */
function acts(page, event) {
  const command = (event.ctrlKey || event.metaKey) && !event.altKey;
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  switch (true) {
    case event.key === " " && plain:
      page.drawer.open ? page.close() : page.open();
      return true;
    case event.key === "Escape" && page.drawer.open:
      page.close();
      return true;
    case event.key === "Enter" && event.altKey:
      page.follow();
      return true;
    case (event.key === "Enter" || event.key === "F2") && plain:
      page.editing.begin();
      return true;
    case event.key === "Delete" && plain:
      page.editing.set(event.shiftKey ? "" : null);
      return true;
    case event.key === "Insert" && plain:
      page.newRecord();
      return true;
    case event.key === "Backspace" && command:
      deleteSelected(page);
      return true;
    case event.key.toLowerCase() === "z" && command:
      undo(page, event.shiftKey ? "redo" : "undo");
      return true;
    case event.key.length === 1 && plain && !event.isComposing:
      page.editing.begin("");
      return false; // the field gets the key, and with it accents and other scripts
  }
  return false;
}
