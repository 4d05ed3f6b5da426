import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suggestion } from './suggestion.ts';

test('the suggestion is the nearest known name, if one is near', () => {
  assert.equal(suggestion('modles', ['name', 'models', 'headers']), 'models');
  assert.equal(suggestion('Backendrefs', ['backendRefs', 'models']), 'backendRefs');
  assert.equal(suggestion('temperature', ['name', 'models']), undefined);
  assert.equal(suggestion('x', []), undefined);
});
