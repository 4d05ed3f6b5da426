import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newEventRecorder } from './events.ts';
import { resourcePath } from './resource.ts';
import { configMap, configMaps, newPlace, type Place, silent, typeOf, until } from './testing/cluster.ts';

const events = { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events' };
let place: Place;

before(async () => {
  place = await newPlace('events');
});
after(() => place.remove());

async function told(): Promise<readonly { readonly note?: string; readonly regarding?: { readonly name?: string } }[]> {
  const { items } = (await place.client.call(resourcePath(events, place.namespace))) as {
    readonly items: readonly { readonly note?: string; readonly regarding?: { readonly name?: string } }[];
  };
  return items;
}

test('a repeated change is recorded once, with a name of any length', async () => {
  const longest = 'n'.repeat(253);
  const made = await place.client.apply(configMaps, configMap(place.namespace, longest, {}));
  const object = { ...made, ...typeOf(configMaps) };
  const { record } = newEventRecorder(place.client, 'test', silent);
  for (let count = 0; count < 50; count++) {
    record({ object, type: 'Warning', reason: 'Invalid', note: 'one' });
  }
  record({ object, type: 'Normal', reason: 'Accepted', note: 'two' });
  await until('both are there', async () => (await told()).length === 2);
  await sleep(500);
  assert.deepEqual((await told()).map(({ note }) => note).sort(), ['one', 'two']);
  assert.equal((await told())[0]?.regarding?.name, longest);
});

test('the rate of events is bounded', async () => {
  const made = await place.client.apply(configMaps, configMap(place.namespace, 'storm', {}));
  const object = { ...made, ...typeOf(configMaps) };
  const { record } = newEventRecorder(place.client, 'test', silent);
  for (let count = 0; count < 1_000; count++) {
    record({ object, type: 'Normal', reason: 'Changed', note: `${count}` });
  }
  await sleep(3_000);
  const ofStorm = (await told()).filter(({ regarding }) => regarding?.name === 'storm').length;
  assert.ok(ofStorm > 0 && ofStorm <= 120, `${ofStorm}`);
});
