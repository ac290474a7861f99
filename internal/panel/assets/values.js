// How values are written for people, read from what they type, and named in addresses.

/**
 * @typedef {{name: string, type: string, nullable: boolean, key: boolean, optional: boolean}} Column
 * @typedef {{columns: string[], parent_table: string, parent_columns: string[]}} ForeignKey
 * @typedef {{table: string, columns: string[], parent_columns: string[], on_delete: string}} Referrer
 * @typedef {null | string | number} Value as JSON has it; integers beyond 2^53 are strings
 * @typedef {{id: string, values: Record<string, Value>, cut: Map<string, number>}} Row
 *   id stands in addresses as it is; "" if the key itself was cut. cut has the bytes of the whole values.
 */

/**
 * kindOf says how a value is shown: "null", "empty", "number", "blob" or "text".
 * @param {Column} column
 * @param {Value | undefined} value
 */
export function kindOf(column, value) {
  if (value === null || value === undefined) return "null";
  if (typeof value === "number") return "number";
  if (column.type === "BLOB") return "blob";
  if (value === "") return "empty";
  return column.type === "INTEGER" ? "number" : "text";
}

/**
 * textOf returns a value as it is stored, as a text.
 * @param {Column} column
 * @param {Value | undefined} value
 */
export function textOf(column, value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return value;
  const text = Object.is(value, -0) ? "-0" : String(value);
  return column.type === "REAL" && /^-?\d+$/.test(text) ? text + ".0" : text;
}

/**
 * lineOf returns a value as one line: ends of lines, tabs and spaces at the ends become visible.
 * @param {Column} column
 * @param {Value | undefined} value
 */
export function lineOf(column, value) {
  switch (kindOf(column, value)) {
    case "null":
      return "NULL";
    case "empty":
      return "empty";
    case "blob":
      return "BLOB";
  }
  return textOf(column, value)
    .replace(/\r\n?|\n/g, "↵")
    .replace(/\t/g, "⇥")
    .replace(/^ +| +$/g, (spaces) => "·".repeat(spaces.length));
}

/**
 * bytesOf returns how many bytes base64 stands for.
 * @param {string} base64
 */
export const bytesOf = (base64) => Math.floor((base64.replace(/=+$/, "").length * 3) / 4);

/**
 * sizeOf writes a number of bytes.
 * @param {number} bytes
 */
export function sizeOf(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let i = -1;
  do {
    bytes /= 1000;
    i++;
  } while (bytes >= 1000 && i < units.length - 1);
  return `${bytes.toFixed(1)} ${units[i]}`;
}

/**
 * countOf writes a number with separators between thousands.
 * @param {number} n
 */
export const countOf = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

/**
 * parse reads what somebody typed for a column, whose value was old before.
 * @param {Column} column
 * @param {string} text
 * @param {Value} [old]
 * @returns {{value: Value} | {fault: string}}
 */
export function parse(column, text, old = null) {
  const trimmed = text.trim();
  if (column.type === "INTEGER") {
    if (!/^[+-]?\d{1,30}$/.test(trimmed)) return { fault: "Type a whole number, or use NULL." };
    const exact = BigInt(trimmed.replace("+", ""));
    if (BigInt.asIntN(64, exact) !== exact) return { fault: "An integer has at most 64 bits: up to 9,223,372,036,854,775,807." };
    return { value: Number.isSafeInteger(Number(exact)) ? Number(exact) : String(exact) };
  }
  const number = trimmed === "" ? NaN : Number(trimmed);
  if (column.type === "REAL") {
    if (!Number.isFinite(number) || !/^[-+.\d]/.test(trimmed) || /^[-+]?0[box]/i.test(trimmed)) return { fault: "Type a number, such as 12.5, or use NULL." };
    return { value: number };
  }
  if (column.type === "ANY" && typeof old === "number" && Number.isFinite(number) && String(number) === trimmed) return { value: number };
  return { value: keepLineEnds(old, text) };
}

/**
 * keepLineEnds gives a text the ends of lines that it had before it was edited in a browser, which knows only "\n".
 * @param {Value} old
 * @param {string} text
 */
function keepLineEnds(old, text) {
  if (typeof old !== "string" || !old.includes("\r\n") || /(^|[^\r])\n/.test(old)) return text;
  return text.replace(/\r?\n/g, "\r\n");
}

/**
 * idOf returns the id of a record as it stands in addresses.
 * @param {string[]} key
 * @param {Record<string, Value>} values
 */
export function idOf(key, values) {
  return key.map((name) => encodeURIComponent(String(values[name])).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase())).join(",");
}

/**
 * rowsOf returns the records of an answer.
 * @param {string[]} key
 * @param {{rows: Record<string, Value>[], ids?: Value[], cut?: {row: number, column: string, bytes: number}[]}} answer
 * @returns {Row[]}
 */
export function rowsOf(key, answer) {
  const rows = answer.rows.map((values, i) => ({ id: answer.ids ? String(answer.ids[i]) : idOf(key, values), values, cut: new Map() }));
  for (const { row, column, bytes } of answer.cut ?? []) {
    rows[row].cut.set(column, bytes);
    if (key.includes(column)) rows[row].id = "";
  }
  return rows;
}

/**
 * filtersFor returns the filters that select the records with the given values.
 * @param {string[]} columns
 * @param {Value[]} values
 */
export const filtersFor = (columns, values) => JSON.stringify(columns.map((column, i) => ({ column, op: "=", value: values[i] })));
