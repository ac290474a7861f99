// Tests of the modules that need no page: node --test testdata

import assert from "node:assert/strict";
import test from "node:test";

import { Blocks, BLOCK } from "../assets/blocks.js";
import { Track } from "../assets/track.js";
import { countOf, filtersFor, idOf, kindOf, lineOf, parse, rowsOf, sizeOf, textOf } from "../assets/values.js";

/** @param {string} type */
const column = (type) => ({ name: "c", type, nullable: true, key: false, optional: true });

test("NULL, empty and the rest are told apart", () => {
  assert.equal(kindOf(column("TEXT"), null), "null");
  assert.equal(kindOf(column("TEXT"), ""), "empty");
  assert.equal(kindOf(column("TEXT"), "NULL"), "text");
  assert.equal(kindOf(column("BLOB"), ""), "blob");
  assert.equal(kindOf(column("INTEGER"), "9223372036854775807"), "number");
  assert.equal(lineOf(column("TEXT"), "  a b\r\nc\t "), "··a b↵c⇥·");
  assert.equal(textOf(column("REAL"), 1), "1.0");
  assert.equal(textOf(column("REAL"), -0), "-0.0");
  assert.equal(textOf(column("REAL"), 1e21), "1e+21");
  assert.equal(textOf(column("INTEGER"), 7), "7");
  assert.equal(countOf(12345678), "12,345,678");
  assert.equal(sizeOf(999), "999 B");
  assert.equal(sizeOf(3_200_000), "3.2 MB");
});

test("what is typed keeps every digit, or is refused", () => {
  assert.deepEqual(parse(column("INTEGER"), " 7 "), { value: 7 });
  assert.deepEqual(parse(column("INTEGER"), "+9223372036854775807"), { value: "9223372036854775807" });
  assert.deepEqual(parse(column("INTEGER"), "-9007199254740993"), { value: "-9007199254740993" });
  for (const wrong of ["", "1.5", "9223372036854775808", "0x10", "seven"]) assert.ok("fault" in parse(column("INTEGER"), wrong), wrong);
  assert.deepEqual(parse(column("REAL"), "-1.5e3"), { value: -1500 });
  for (const wrong of ["", "Infinity", "0x10", "1,5", "1e999"]) assert.ok("fault" in parse(column("REAL"), wrong), wrong);
  assert.deepEqual(parse(column("TEXT"), ""), { value: "" });
  assert.deepEqual(parse(column("TEXT"), " 7 "), { value: " 7 " });
  assert.deepEqual(parse(column("TEXT"), "a\nb\nc", "a\r\nb"), { value: "a\r\nb\r\nc" });
  assert.deepEqual(parse(column("TEXT"), "a\nb", "a\n\r\nb"), { value: "a\nb" });
  assert.deepEqual(parse(column("ANY"), "8", 7), { value: 8 });
  assert.deepEqual(parse(column("ANY"), "8", "7"), { value: "8" });
});

test("records are named by their keys", () => {
  assert.equal(idOf(["a", "b"], { a: 4, b: "x,y/z*" }), "4,x%2Cy%2Fz%2A");
  const rows = rowsOf(["k"], { rows: [{ k: "a", t: "long" }, { k: "cut", t: "" }], cut: [{ row: 0, column: "t", bytes: 900 }, { row: 1, column: "k", bytes: 900 }] });
  assert.equal(rows[0].id, "a");
  assert.equal(rows[0].cut.get("t"), 900);
  assert.equal(rows[1].id, "", "a key that was cut names no record");
  assert.equal(rowsOf([], { rows: [{ t: "x" }], ids: [12] })[0].id, "12");
  assert.equal(filtersFor(["a"], ["9223372036854775807"]), '[{"column":"a","op":"=","value":"9223372036854775807"}]');
});

test("each row of a long list can be reached by the scroll bar and by moves", () => {
  for (const total of [0, 1, 30, 1000, 10_000_000]) {
    const track = new Track(28);
    track.total = total;
    track.window = 560;
    for (const row of [0, 1, Math.floor(total / 3), total - 1]) {
      if (row < 0) continue;
      track.show(row);
      assert.ok(track.top <= row && row + 1 <= track.top + 20 + 1e-6 * total, `${row} of ${total} at ${track.top}`);
      const top = track.top;
      track.moved(track.settled());
      track.scrolled(track.last);
      assert.equal(track.top, top, "putting the bar in its place scrolls nothing");
    }
    assert.ok(track.height <= 8e6);
    track.scrolled(0);
    assert.equal(track.top, 0);
    track.scrolled(Math.max(0, track.height - track.window));
    assert.equal(track.top, Math.max(0, total - 20), `the end of ${total}`);
  }
});

test("short ways are exact in a list of any length", () => {
  const track = new Track(28);
  track.total = 10_000_000;
  track.window = 560;
  track.scrolled(4_000_000);
  const top = track.top;
  track.scrolled(4_000_028);
  assert.ok(Math.abs(track.top - top - 1) < 1e-6);
});

test("blocks are fetched once, whole and anew when they are worthless", async () => {
  /** @type {number[][]} */
  const asked = [];
  const blocks = new Blocks(
    async (first, limit) => {
      asked.push([first, limit]);
      const n = Math.min(limit, 60); // wide rows: an answer holds a part
      return { rows: Array.from({ length: n }, (_, i) => first + i), more: true };
    },
    (failure) => assert.fail(String(failure)),
  );
  await Promise.all([blocks.want(3), blocks.want(3)]);
  assert.deepEqual(asked, [[3 * BLOCK, BLOCK], [3 * BLOCK + 60, BLOCK - 60]]);
  assert.equal(blocks.row(3 * BLOCK + BLOCK - 1), 4 * BLOCK - 1);
  assert.equal(blocks.row(0), undefined);
  const late = blocks.want(5);
  blocks.forget();
  await late;
  assert.equal(blocks.row(5 * BLOCK), undefined, "an answer from before counts for nothing");
  const old = blocks.kept.get(3);
  const renewed = blocks.renew([3]);
  assert.equal(blocks.kept.get(3), undefined, "forgotten before");
  await renewed;
  assert.ok(blocks.kept.get(3) !== old && blocks.row(3 * BLOCK) === 3 * BLOCK);
  const again = blocks.renew([3]);
  assert.equal(blocks.row(3 * BLOCK), 3 * BLOCK, "what is on the screen stays until it comes anew");
  await again;
  blocks.put(0, [1, 2], true);
  assert.equal(blocks.row(0), undefined, "a part of a block is none");
});
