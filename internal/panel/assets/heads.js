// The heads of the columns of a grid: they sort by a link, and change their width by the mouse.

import { make } from "./dom.js";

/** @import { Description } from "./source.js" */

/**
 * headsOf makes the heads. resize is called with a column and its width, "fit" to fit it to its values.
 * @param {Description} about
 * @param {(column: number, width: number | "fit") => void} resize
 */
export function headsOf(about, resize) {
  return about.columns.map((column, j) => {
    const { order, link } = about.sorts[j];
    const arrow = { ascending: " ↑", descending: " ↓" }[order] ?? "";
    const grip = make("span", { className: "grip", title: "Drag to change the width, double-click to fit" });
    const head = make("div", { role: "columnheader", ariaColIndex: String(j + 2), className: column.type === "INTEGER" || column.type === "REAL" ? "number" : "" });
    if (order) head.ariaSort = order;
    const title = `${column.name}: ${column.type}${column.key ? ", key" : ""}${column.nullable ? "" : ", not NULL"}. Sort by it`;
    head.append(make("a", { href: link, title, tabIndex: -1, draggable: false }, column.name), make("small", { textContent: arrow || ` ${column.type}` }), grip);
    grip.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      grip.setPointerCapture(event.pointerId);
      const start = event.clientX;
      const width = head.offsetWidth;
      const drag = (/** @type {PointerEvent} */ moved) => resize(j, width + moved.clientX - start);
      grip.addEventListener("pointermove", drag);
      for (const end of ["pointerup", "pointercancel"]) grip.addEventListener(end, () => grip.removeEventListener("pointermove", drag), { once: true });
    });
    grip.addEventListener("dblclick", () => resize(j, "fit"));
    return head;
  });
}
