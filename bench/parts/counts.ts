/**
 * Compares the estimate with the provider's own number: replays each recording without its usage.
 */
import http from 'node:http';
import { freePorts } from '../../fixtures/free-ports.ts';
import { noRecordings } from '../../fixtures/recordings.ts';
import type { AccessLine, MeasuredGateway } from '../gateway.ts';
import { until } from '../processes.ts';
import { type ReplayRecording, recordings } from '../recordings.ts';
import { replayResources } from '../resources.ts';
import type { CountRow } from '../results.ts';
import type { Testbed } from '../testbed.ts';

export async function counts(testbed: Testbed): Promise<readonly CountRow[]> {
  if (noRecordings !== false) {
    console.error(`counts: skipped, ${noRecordings}`);
    return [];
  }
  const [port = 0] = await freePorts(1);
  let current: ReplayRecording | undefined;
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('content-type', current?.stream ? 'text/event-stream' : 'application/json');
      response.end(current?.answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  try {
    return await testbed.withGateway(
      (gatewayPort) => replayResources(gatewayPort, port),
      async (gateway) => {
        const rows: CountRow[] = [];
        for (const recording of recordings()) {
          current = recording;
          rows.push(...rowsOf(recording, await replay(gateway, recording)));
        }
        return rows;
      },
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Returns the access line of one request. */
async function replay(gateway: MeasuredGateway, recording: ReplayRecording): Promise<AccessLine> {
  const response = await fetch(`http://127.0.0.1:${gateway.port}${recording.path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-team': 'replay' },
    body: JSON.stringify(recording.request),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  if (response.status !== 200) {
    throw new Error(`${recording.name}: ${response.status} ${text.slice(0, 500)}`);
  }
  let found: AccessLine | undefined;
  await until(`access line of ${recording.name}`, 5000, () => {
    found = gateway.accessLines().find((line) => line['path'] === recording.path);
    return found !== undefined;
  });
  return found!;
}

function rowsOf(recording: ReplayRecording, line: AccessLine): readonly CountRow[] {
  const tokens = (line['tokens'] ?? {}) as Readonly<Record<string, number>>;
  const { name, output, hidden, input } = recording;
  const note = String(line['source']);
  const row = { recording: name, note };
  return [
    { ...row, kind: 'output', provider: output - hidden, estimate: tokens['output'] ?? Number.NaN, hidden },
    ...(input === undefined
      ? []
      : [{ ...row, kind: 'input' as const, provider: input, estimate: tokens['input'] ?? Number.NaN, hidden: 0 }]),
  ];
}
