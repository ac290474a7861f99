// Making, deleting and restoring whole records, and undoing what was done.

import { ask, make } from "./dom.js";
import { call } from "./wire.js";
import { countOf, idOf } from "./values.js";

/** @import { Step } from "./changes.js" */
/** @import { Row, Value } from "./values.js" */
/** @import { TablePage } from "./table.js" */

/** Records that are deleted at once. */
const MAX_DELETED = 1000;

/**
 * insert stores a new record and returns it.
 * @param {TablePage} page
 * @param {Record<string, Value>} data
 * @param {string} idempotencyKey
 * @returns {Promise<{id: string, values: Record<string, Value>}>}
 */
export async function insert(page, data, idempotencyKey) {
  const { data: answer } = await call(`${page.source.records}?integers=string`, { method: "POST", body: { data }, headers: { "Idempotency-Key": idempotencyKey } });
  const id = page.about.key.length > 0 ? idOf(page.about.key, answer.row) : String(answer.id ?? "");
  if (id !== "") page.changes.add({ kind: "insert", ids: [id], rows: [answer.row] });
  return { id, values: answer.row };
}

/**
 * deleteSelected deletes the selected records, once the person has seen how many they are.
 * @param {TablePage} page
 */
export async function deleteSelected(page) {
  const { grid, blocks, about } = page;
  const [from, to] = grid.selection();
  if (!page.editing.mayWrite() || page.total === 0) return;
  if (to - from >= MAX_DELETED) return page.say(`At most ${countOf(MAX_DELETED)} records are deleted at once. DELETE …/records with where deletes more.`, true);
  /** @type {Row[]} */
  const rows = [];
  for (let i = from; i <= to; i++) {
    const row = blocks.row(i);
    if (!row) return page.say("Some of these records are not here yet. Scroll over them first.", true);
    if (row.id === "") return page.say("The key of one of these records is too long to delete it here.", true);
    rows.push(row);
  }
  const n = rows.length === 1 ? "1 record" : `${countOf(rows.length)} records`;
  const title = `Delete ${n} of ${about.table}?`;
  const carried = await page.attempt(() => dependents(page, rows));
  if (!carried) return;
  const undo = carried.lost ? "Undo brings back these records, but not those of other tables." : "Ctrl+Z brings them back.";
  const answer = await ask(title, [make("p", { textContent: names(rows) }), ...carried.told.map((text) => make("p", { className: "fault", textContent: text })), make("p", { className: "quiet", textContent: undo })], [
    { value: "delete", label: `Delete ${n}`, kind: "bad" },
    { value: "", label: "Cancel" },
  ]);
  if (answer !== "delete") return;
  const ids = rows.map(({ id }) => id);
  const before = await page.attempt(() => remove(page, ids));
  if (!before) return;
  page.changes.add({ kind: "delete", ids, rows: before });
  page.changed(-rows.length, `${n} deleted`);
}

/** @param {Row[]} rows */
const names = (rows) => rows.slice(0, 5).map(({ id }) => decodeURIComponent(id)).join(", ") + (rows.length > 5 ? ` and ${countOf(rows.length - 5)} more` : "");

/**
 * dependents says what happens to records of other tables that refer to some records.
 * @param {TablePage} page
 * @param {Row[]} rows
 */
async function dependents(page, rows) {
  const told = [];
  let lost = false;
  for (const { table, columns, parent_columns, on_delete } of page.about.referredBy) {
    if (columns.length !== 1) {
      told.push(`Records of ${table} may refer to them (on delete: ${on_delete}).`);
      continue;
    }
    const filters = [{ column: columns[0], op: "in", value: rows.map(({ values }) => values[parent_columns[0]]).filter((value) => value !== null) }];
    const { data } = await call(`${page.about.api}/records/${encodeURIComponent(table)}/search`, { method: "POST", body: { filters, limit: 1, total: "estimate" } });
    if (data.total === 0) continue;
    const n = `${data.total_is === "exact" ? "" : "At least "}${countOf(data.total)} of ${table}`;
    const fate = /** @type {Record<string, string>} */ ({ CASCADE: "will be deleted too", "SET NULL": `will lose their ${columns[0]}`, "SET DEFAULT": `will get the default ${columns[0]}` })[on_delete];
    lost ||= fate !== undefined;
    told.push(fate ? `${n} ${fate}.` : `${n} refer to them, so they cannot be deleted.`);
  }
  return { told, lost };
}

/**
 * remove deletes records together, and returns them as they were.
 * @param {TablePage} page
 * @param {string[]} ids
 * @returns {Promise<Record<string, Value>[]>}
 */
async function remove(page, ids) {
  const operations = ids.map((id) => ({ op: "delete", table: page.about.table, id }));
  return (await batch(page, { return: "before", operations })).map((/** @type {any} */ { before }) => before);
}

/**
 * @param {TablePage} page
 * @param {unknown} body
 */
async function batch(page, body) {
  const { data } = await call(`${page.about.api}/batch?integers=string`, { method: "POST", body, headers: { "Idempotency-Key": crypto.randomUUID() } });
  return data.results;
}

/**
 * restore stores records again that were deleted.
 * @param {TablePage} page
 * @param {Record<string, Value>[]} rows
 */
async function restore(page, rows) {
  await batch(page, { return: "none", operations: rows.map((data) => ({ op: "insert", table: page.about.table, data })) });
}

/**
 * undo takes the latest step back, or makes it again.
 * @param {TablePage} page
 * @param {"undo" | "redo"} which
 */
export async function undo(page, which) {
  if (!page.editing.mayWrite()) return;
  const step = await page.attempt(() => page.changes.move(which, (step) => carryOut(page, step, which === "undo")));
  if (!step) return page.changes[which === "undo" ? "done" : "undone"].length === 0 ? page.say(`There is nothing to ${which}.`) : undefined;
  const what = { set: "the change", insert: "the new record", delete: "the deletion" }[step.kind];
  const more = step.kind === "set" ? 0 : (step.kind === "insert") === (which === "undo") ? -step.ids.length : step.ids.length;
  page.changed(more, which === "undo" ? `Undid ${what}` : `Redid ${what}`);
}

/**
 * @param {TablePage} page
 * @param {Step} step
 * @param {boolean} back
 * @returns {Promise<boolean>}
 */
async function carryOut(page, step, back) {
  if (step.kind === "set") {
    const column = page.about.columns.find(({ name }) => name === step.column);
    if (!column) throw new Error(`There is no column ${step.column} any more.`);
    const [seen, value] = back ? [step.after, step.before] : [step.before, step.after];
    return page.editing.commit(step.id, column, seen, value, "", false);
  }
  if ((step.kind === "insert") !== back) {
    await restore(page, step.rows);
    return true;
  }
  if (step.kind === "insert" && !(await unchanged(page, step))) return false;
  step.rows = await remove(page, step.ids);
  return true;
}

/**
 * unchanged asks before a new record is taken back that somebody has changed.
 * @param {TablePage} page
 * @param {Step & {kind: "insert" | "delete"}} step
 */
async function unchanged(page, step) {
  const { data } = await call(`${page.source.records}/${step.ids[0]}?integers=string`);
  if (Object.entries(data.row).every(([name, value]) => value === step.rows[0][name])) return true;
  const answer = await ask("The record has been changed since it was made", [make("p", { textContent: "Delete it all the same?" })], [
    { value: "delete", label: "Delete it", kind: "bad" },
    { value: "", label: "Cancel" },
  ]);
  return answer === "delete";
}
