import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IntegerTable, type IntegerTableEntry } from './integer-table.ts';

class Entry implements IntegerTableEntry {
  readonly id: number;
  nextInSlot: this | undefined;

  constructor(id: number) {
    this.id = id;
  }
}

test('the table equals a Map after any operations', () => {
  const step = fc.record({ add: fc.boolean(), id: fc.nat(800) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
      const table = new IntegerTable<Entry>();
      const model = new Map<number, Entry>();
      for (const { add, id } of steps) {
        const known = model.get(id);
        assert.equal(table.get(id), known);
        if (add && known === undefined) {
          const entry = new Entry(id);
          table.add(entry);
          model.set(id, entry);
        } else if (!add && known !== undefined) {
          assert.equal(table.delete(known), true);
          assert.equal(table.delete(known), false);
          assert.equal(known.nextInSlot, undefined);
          model.delete(id);
        }
        assert.equal(table.size, model.size);
      }
      assert.deepEqual(new Set(table.all()), new Set(model.values()));
    }),
  );
});

test('a missing entry is not confused with another one in its slot', () => {
  const table = new IntegerTable<Entry>();
  table.add(new Entry(1));
  assert.equal(table.get(129), undefined);
  assert.equal(table.delete(new Entry(129)), false);
  assert.equal(table.size, 1);
});
