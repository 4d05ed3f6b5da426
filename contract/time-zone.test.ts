import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTimeZone } from './time-zone.ts';

test('names of the IANA database are time zones, offsets and other texts are not', () => {
  for (const name of ['UTC', 'Europe/Vienna', 'Etc/GMT+5', 'America/Argentina/Buenos_Aires', 'UTC']) {
    assert.equal(isTimeZone(name), true, name);
  }
  for (const name of ['', '+01:00', 'Europe', 'Mars/Olympus', 'Europe/Vienna ']) {
    assert.equal(isTimeZone(name), false, name);
  }
});
