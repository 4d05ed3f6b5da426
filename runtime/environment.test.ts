import assert from 'node:assert/strict';
import { test } from 'node:test';
import { address, oneOf, optionalText, parseAddress, readEnvironment, wholeNumber } from './environment.ts';

const variables = {
  APP_LEVEL: oneOf(['info', 'warn'], 'info'),
  APP_COUNT: wholeNumber(1, 64, 2),
  APP_ADDRESS: address({ type: 'tcp', host: '::', port: 9464 }),
  APP_NAME: optionalText(),
};

test('absent and empty variables have their default', () => {
  const { values, problems } = readEnvironment(variables, { APP_LEVEL: '' });
  assert.deepEqual(problems, []);
  assert.deepEqual(values, {
    APP_LEVEL: 'info',
    APP_COUNT: 2,
    APP_ADDRESS: { type: 'tcp', host: '::', port: 9464 },
    APP_NAME: undefined,
  });
});

test('each wrong variable is a problem that names it and the fix, and does not show its value', () => {
  const { values, problems } = readEnvironment(variables, { APP_LEVEL: 'hunter2', APP_COUNT: '65', APP_NAME: 'x' });
  assert.equal(problems.length, 2);
  assert.match(problems[0]!, /^APP_LEVEL must be one of info, warn/);
  assert.match(problems[1]!, /^APP_COUNT must be a whole number from 1 to 64/);
  assert.doesNotMatch(problems.join(), /hunter2/);
  assert.equal(values.APP_NAME, 'x');
  assert.equal(values.APP_COUNT, 2);
});

test('addresses are HOST:PORT, :PORT or unix:PATH', () => {
  assert.deepEqual(parseAddress('127.0.0.1:80'), { type: 'tcp', host: '127.0.0.1', port: 80 });
  assert.deepEqual(parseAddress(':0'), { type: 'tcp', host: '::', port: 0 });
  assert.deepEqual(parseAddress('[::1]:9464'), { type: 'tcp', host: '::1', port: 9464 });
  assert.deepEqual(parseAddress('unix:/run/a.sock'), { type: 'unix', path: '/run/a.sock' });
  for (const wrong of ['9464', '::1:80', 'host:65536', 'host:', 'unix:', '']) {
    assert.equal(parseAddress(wrong), undefined);
  }
});
