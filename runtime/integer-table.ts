/**
 * Entries by an integer, for entries that come and go with each request. When V8 rehashes a `Map`
 * or `Set` of such entries, the old table keeps its entries and a link to the next table. One such
 * table in the old generation keeps all later ones alive until a full collection: each request was
 * promoted (5.8 KB), and full collections took a fifth of the processor's time.
 */

export interface IntegerTableEntry {
  readonly id: number;
  /** The next entry in the same slot. Owned by the table. */
  nextInSlot: this | undefined;
}

const FIRST_SLOTS = 64;

export class IntegerTable<Entry extends IntegerTableEntry> {
  size = 0;
  #slots = emptySlots<Entry>(FIRST_SLOTS);

  get(id: number): Entry | undefined {
    let entry = this.#slots[this.#slotOf(id)];
    while (entry !== undefined && entry.id !== id) {
      entry = entry.nextInSlot;
    }
    return entry;
  }

  /** Adds an entry whose id is not in the table yet. */
  add(entry: Entry): void {
    if (2 * this.size >= this.#slots.length) {
      this.#grow();
    }
    this.size++;
    this.#link(entry);
  }

  /** Returns false if the entry is not in the table. */
  delete(entry: Entry): boolean {
    const slot = this.#slotOf(entry.id);
    let before: Entry | undefined;
    let at = this.#slots[slot];
    while (at !== undefined && at !== entry) {
      before = at;
      at = at.nextInSlot;
    }
    if (at === undefined) {
      return false;
    }
    if (before === undefined) {
      this.#slots[slot] = entry.nextInSlot;
    } else {
      before.nextInSlot = entry.nextInSlot;
    }
    // A dead entry of the old generation must not keep younger ones alive.
    entry.nextInSlot = undefined;
    this.size--;
    return true;
  }

  /** Returns the current entries, in no order. */
  all(): readonly Entry[] {
    const all: Entry[] = [];
    for (const first of this.#slots) {
      for (let at = first; at !== undefined; at = at.nextInSlot) {
        all.push(at);
      }
    }
    return all;
  }

  #slotOf(id: number): number {
    return id & (this.#slots.length - 1);
  }

  #link(entry: Entry): void {
    const slot = this.#slotOf(entry.id);
    entry.nextInSlot = this.#slots[slot];
    this.#slots[slot] = entry;
  }

  #grow(): void {
    const entries = this.all();
    this.#slots = emptySlots(this.#slots.length * 2);
    for (const entry of entries) {
      this.#link(entry);
    }
  }
}

function emptySlots<Entry>(count: number): (Entry | undefined)[] {
  return new Array<Entry | undefined>(count).fill(undefined);
}
