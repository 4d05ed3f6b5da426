/** Names, types, units and attributes of metrics against the GenAI conventions. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { newRecorder } from './recorder.ts';
import { outcomeOfStream } from './testing.ts';

type Instrument = readonly [type: 'histogram' | 'sum', unit: string, required: readonly string[]];

const COMMON = ['gen_ai.operation.name', 'gen_ai.provider.name'];
const SECONDS: Instrument = ['histogram', 's', COMMON];
const COUNTER: Instrument = ['sum', '{token}', [...COMMON, 'gen_ai.token.modality']];

/** https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/model/gen-ai/metrics.yaml */
const RELEASED: Readonly<Record<string, Instrument>> = {
  'gen_ai.client.token.usage': ['histogram', '{token}', [...COMMON, 'gen_ai.token.type']],
  'gen_ai.client.operation.duration': SECONDS,
  'gen_ai.client.operation.time_to_first_chunk': SECONDS,
  'gen_ai.server.request.duration': SECONDS,
  'gen_ai.server.time_per_output_token': SECONDS,
  'gen_ai.server.time_to_first_token': SECONDS,
};

/**
 * https://github.com/open-telemetry/semantic-conventions-genai/blob/main/model/gen-ai/token-metrics.yaml
 * and docs/gen-ai/client-inference.md there.
 */
const DEVELOPMENT: Readonly<Record<string, Instrument>> = {
  'gen_ai.client.inference.duration': SECONDS,
  'gen_ai.client.inference.time_to_first_chunk': SECONDS,
  'gen_ai.client.inference.usage.input_tokens': COUNTER,
  'gen_ai.client.inference.usage.output_tokens': COUNTER,
  'gen_ai.client.inference.usage.cache_read.input_tokens': COUNTER,
  'gen_ai.client.inference.usage.cache_write.input_tokens': COUNTER,
  'gen_ai.client.inference.usage.reasoning.output_tokens': COUNTER,
};

function collected(latest: boolean) {
  const recorder = newRecorder({ nowMs: 0, latest });
  const usage = { ...outcomeOfStream.usage!, cacheWriteInput: 5, reasoningOutput: 7, audioInput: 10 };
  recorder.record({ ...outcomeOfStream, usage }, []);
  return recorder.table.collect().filter(({ description }) => description.name.startsWith('gen_ai.'));
}

for (const latest of [false, true]) {
  it(`metrics are those of the ${latest ? 'development version of the ' : ''}conventions`, () => {
    const {
      'gen_ai.client.operation.duration': _,
      'gen_ai.client.operation.time_to_first_chunk': __,
      ...kept
    } = RELEASED;
    const expected = latest ? { ...kept, ...DEVELOPMENT } : RELEASED;
    const metrics = collected(latest);
    assert.deepEqual(metrics.map(({ description }) => description.name).toSorted(), Object.keys(expected).toSorted());
    for (const { type, description, cells } of metrics) {
      const [instrument, unit, required] = expected[description.name]!;
      assert.deepEqual([type, description.unit], [instrument, unit], description.name);
      for (const { attributes } of cells) {
        const names = Object.keys(attributes);
        assert.deepEqual(
          required.filter((name) => !names.includes(name)),
          [],
          description.name,
        );
      }
    }
  });
}

it('the released names are in the package of the conventions', () => {
  const known = new Set<unknown>(Object.values(conventions));
  for (const { description, cells } of collected(false)) {
    const names = [description.name, ...cells.flatMap(({ attributes }) => Object.keys(attributes))];
    assert.deepEqual(
      names.filter((name) => !name.startsWith('tallygate.') && !known.has(name)),
      [],
    );
  }
});

it('the counters of tokens divide input and output by modality, without counting a token twice', () => {
  const of = (name: string) =>
    collected(true)
      .filter(({ description }) => description.name === `gen_ai.client.inference.usage.${name}`)
      .flatMap(({ cells }) => [...cells])
      .map((cell) => [cell.attributes['gen_ai.token.modality'], 'value' in cell && cell.value]);
  assert.deepEqual(of('input_tokens'), [
    ['text', 90],
    ['audio', 10],
  ]);
  assert.deepEqual(of('output_tokens'), [['text', 51]]);
  assert.deepEqual(of('cache_read.input_tokens'), [['unknown', 60]]);
});
