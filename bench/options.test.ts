import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { optionsOf, PARTS } from './options.ts';

describe('optionsOf', () => {
  it('runs all parts by default', () => {
    assert.deepEqual(optionsOf([])?.parts, PARTS);
    assert.deepEqual(optionsOf(['--parts', 'counts,load'])?.parts, ['load', 'counts']);
    assert.equal(optionsOf(['--page', 'guardrails-gateway'])?.page, 'guardrails-gateway');
  });

  it('replaces the parts by a long run of a million requests, or of the given number', () => {
    assert.deepEqual([optionsOf(['--soak'])?.soakRequests, optionsOf(['--soak'])?.parts], [1_000_000, []]);
    assert.equal(optionsOf(['--soak=5000'])?.soakRequests, 5000);
    assert.deepEqual(optionsOf(['--soak', '--parts', 'cut'])?.parts, ['cut']);
  });

  it('reports unknown arguments', () => {
    assert.throws(() => optionsOf(['--parts', 'laod']), /unknown laod; use load/);
    assert.throws(() => optionsOf(['--seconds', 'x']), /--seconds must be a number of at least 0.1/);
    assert.throws(() => optionsOf(['--sceonds', '1']));
    assert.equal(optionsOf(['--help']), undefined);
  });
});
