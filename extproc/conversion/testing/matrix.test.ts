/** No conversion loses a feature silently. docs/reference/conversions.md has the whole matrix. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { embeddingBackends, embeddingMatrix } from './embedding-matrix.ts';
import { convertedBackends, includes, type MatrixRow, matrixOf } from './matrix.ts';

describe('a conversion', () => {
  for (const client of ['chat', 'messages', 'responses', 'content'] as const) {
    it(`carries each feature, or says that it does not: ${client}`, async () => {
      const apis = convertedBackends(client).map(({ title }) => title);
      const rows = await matrixOf(client);
      assert.deepEqual(lostOf(rows, apis), []);
      const works = rows.flatMap(({ cells }) => cells).filter(({ type }) => type === 'works');
      assert.ok(works.length > 20 * apis.length, `only ${works.length} work`);
    });
  }
});

describe('a conversion of embeddings', () => {
  for (const client of ['embeddings', 'embed-content', 'batch-embed'] as const) {
    it(`carries each feature, or says that it does not: ${client}`, () => {
      const apis = embeddingBackends(client).map(({ providerApi }) => providerApi);
      const rows = embeddingMatrix(client);
      assert.deepEqual(lostOf(rows, apis), []);
      const works = rows.flatMap(({ cells }) => cells).filter(({ type }) => type === 'works');
      assert.ok(works.length > 3 * apis.length, `only ${works.length} work`);
    });
  }
});

function lostOf(rows: readonly MatrixRow[], apis: readonly string[]): readonly string[] {
  return rows.flatMap(({ feature, cells }) =>
    cells.flatMap(({ type }, index) => (type === 'lost' ? [`${feature}: ${apis[index]}`] : [])),
  );
}

describe('a pattern', () => {
  for (const [value, pattern, matches] of [
    [{ a: 1, b: [1, { c: 2, d: 3 }, 4] }, { b: [{ c: 2 }, 4] }, true],
    [{ b: [1, 4, { c: 2 }] }, { b: [{ c: 2 }, 4] }, false],
    [{ b: [{ c: 2 }] }, { b: [{ c: 2 }, { c: 2 }] }, false],
    [{ a: 1 }, { a: undefined }, false],
    [{ b: 1 }, { a: undefined }, true],
    [undefined, { a: 1 }, false],
    [{ a: '1' }, { a: 1 }, false],
  ] as const) {
    it(`${matches ? 'matches' : 'does not match'}: ${JSON.stringify(pattern)} in ${JSON.stringify(value)}`, () => {
      assert.equal(includes(value, pattern), matches);
    });
  }
});
