// The parts of a long list that are in memory, and when which other ones are fetched.

/** Rows in a block. */
export const BLOCK = 100;

/** Blocks that are kept; those used last. */
const MAX_BLOCKS = 120;

/**
 * Blocks fetches rows in blocks, each at most once at a time.
 * @template R
 */
export class Blocks {
  /**
   * @param {(first: number, limit: number) => Promise<{rows: R[], more: boolean}>} fetch
   * @param {(failure: unknown) => void} failed
   */
  constructor(fetch, failed) {
    this.fetch = fetch;
    this.failed = failed;
    /** @type {Map<number, R[]>} */
    this.kept = new Map();
    /** @type {Map<number, Promise<void>>} */
    this.coming = new Map();
    this.age = 0; // grows when what is in memory becomes worthless
  }

  /**
   * row returns a row, undefined if it is not here.
   * @param {number} i
   * @returns {R | undefined}
   */
  row(i) {
    return this.kept.get(Math.floor(i / BLOCK))?.[i % BLOCK];
  }

  /**
   * replace puts another row in the place of one.
   * @param {(row: R) => boolean} is
   * @param {R} row
   */
  replace(is, row) {
    for (const rows of this.kept.values()) {
      const i = rows.findIndex(is);
      if (i >= 0) rows[i] = row;
    }
  }

  /**
   * put keeps a block that came by another way. A part of one is of no use.
   * @param {number} block
   * @param {R[]} rows
   * @param {boolean} more whether rows follow
   */
  put(block, rows, more) {
    if (more && rows.length < BLOCK) return;
    this.kept.delete(block);
    this.kept.set(block, rows);
    const oldest = this.kept.keys().next();
    if (this.kept.size > MAX_BLOCKS && !oldest.done) this.kept.delete(oldest.value);
  }

  /** forget makes every block be fetched again. */
  forget() {
    this.kept.clear();
    this.coming.clear();
    this.age++;
  }

  /**
   * renew fetches some blocks anew and forgets the others. Until they are here, the old ones stay.
   * @param {number[]} blocks
   */
  async renew(blocks) {
    const age = ++this.age;
    this.coming.clear();
    for (const block of [...this.kept.keys()]) if (!blocks.includes(block)) this.kept.delete(block);
    for (const block of blocks) {
      try {
        const rows = await this.#collect(block);
        if (age !== this.age) return;
        this.put(block, rows, false);
      } catch (failure) {
        if (age === this.age) this.failed(failure);
        return;
      }
    }
  }

  /**
   * want fetches a block that is not here.
   * @param {number} block
   * @returns {Promise<void>}
   */
  async want(block) {
    const rows = this.kept.get(block);
    if (rows) {
      this.put(block, rows, false); // as used last
      return;
    }
    const coming = this.coming.get(block);
    if (block < 0 || coming) return coming;
    const age = this.age;
    const arriving = this.#collect(block).then(
      (got) => {
        if (age === this.age) this.put(block, got, false);
      },
      (failure) => age === this.age && this.failed(failure),
    );
    this.coming.set(block, arriving);
    await arriving;
    if (age === this.age) this.coming.delete(block);
  }

  /**
   * collect reads a block; an answer with wide rows may hold only a part of it.
   * @param {number} block
   */
  async #collect(block) {
    /** @type {R[]} */
    const rows = [];
    for (;;) {
      const got = await this.fetch(block * BLOCK + rows.length, BLOCK - rows.length);
      rows.push(...got.rows);
      if (!got.more || rows.length >= BLOCK || got.rows.length === 0) return rows;
    }
  }
}
