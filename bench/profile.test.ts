import assert from 'node:assert/strict';
import { it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { topOf } from './profile.ts';

it('attributes own time to functions, native functions to their caller, and ignores idle time', () => {
  const url = pathToFileURL('extproc/some.ts').href;
  const frame = (functionName: string, where = '', lineNumber = -1) => ({ functionName, url: where, lineNumber });
  const text = topOf({
    nodes: [
      { id: 1, callFrame: frame('(root)'), children: [2, 4] },
      { id: 2, callFrame: frame('work', url, 9), children: [3] },
      { id: 3, callFrame: frame('writeBuffer') },
      { id: 4, callFrame: frame('(idle)') },
    ],
    samples: [2, 3, 4, 3],
    timeDeltas: [100_000, 200_000, 5_000_000, 100_000],
  });
  assert.match(text, /^0\.40 s busy/);
  assert.match(text, / 75\.0% {2}writeBuffer of work {2}extproc\/some\.ts:10/);
  assert.match(text, / 25\.0% {2}work {2}extproc\/some\.ts:10/);
  assert.match(text, /100\.0% {2}extproc\/some\.ts\n/);
});
