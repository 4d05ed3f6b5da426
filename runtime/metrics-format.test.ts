import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinMetrics } from './metrics-format.ts';

test('metrics of two processes are one text with one end', () => {
  const more = '# HELP sent_total Sent.\n# TYPE sent_total counter\nsent_total 2\n';
  assert.equal(joinMetrics('prometheus', 'a 1\n', more), `a 1\n${more}`);
  assert.equal(
    joinMetrics('openmetrics', 'a 1\n# EOF\n', more),
    'a 1\n# HELP sent Sent.\n# TYPE sent counter\nsent_total 2\n# EOF\n',
  );
});
