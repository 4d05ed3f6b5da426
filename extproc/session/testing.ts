/**
 * Sessions with a quota store and without sockets: the exchange only notes its calls. For tests.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { OpenCallers } from '../access/open-callers.ts';
import { TokenVerifier } from '../access/token-verifier.ts';
import type { Exchange, ExchangeHandler } from '../exchange.ts';
import { DetectorError } from '../guard/external/external-detector.ts';
import { type CompiledPolicy, compilePolicy } from '../policy/compile.ts';
import type { MemoryStore } from '../quota/memory.ts';
import { openQuotaStore, type StoreOptions } from '../quota/open.ts';
import type { RequestRecord } from '../record.ts';
import { newMeter } from '../tokens/meter.ts';
import { Bodies } from './bodies.ts';
import { newCountQueue } from './counting.ts';
import { drive } from './drive.ts';
import { FirstTokenTimes } from './first-token-times.ts';
import { Interruptions } from './interruptions.ts';
import { OpenAttempts } from './open-attempts.ts';
import { OutputEstimator } from './output-estimates.ts';
import { PassiveHealth } from './passive-health.ts';
import type { SessionServices } from './services.ts';

type Policy = Omit<GatewayPolicy, 'formatVersion' | 'version'>;

export const basePolicy = parse(readFileSync(new URL('testdata/base.yaml', import.meta.url), 'utf8')) as Policy;

export const CHAT_HEADERS = [
  [':method', 'POST'],
  [':path', '/v1/chat/completions'],
  ['x-team', 'red'],
] as const;

export const ENTRY: ReadonlyMap<string, string> = new Map([['xds.route_name', 'entry']]);

export interface Rig {
  readonly store: MemoryStore;
  readonly shared: SessionServices;
  readonly records: RequestRecord[];
  readonly faults: unknown[];
  open(exchange: Exchange): ExchangeHandler;
  /** Replaces the policy for sessions that begin from now on. */
  use(policy: CompiledPolicy): void;
}

export function newRig(options: {
  readonly policy?: Partial<Policy>;
  readonly store?: StoreOptions;
  readonly shared?: (shared: SessionServices) => Partial<SessionServices>;
}): Rig {
  const { store } = openQuotaStore({ nowMs: () => 0, ...options.store });
  let policy = compilePolicy({ ...basePolicy, ...options.policy, formatVersion: 6, version: 'test' });
  const records: RequestRecord[] = [];
  const faults: unknown[] = [];
  let ids = 0;
  const base: SessionServices = {
    policy: () => policy,
    openCallers: new OpenCallers(),
    verifier: new TokenVerifier({ nowMs: () => 0, requestKeys: () => {} }),
    store,
    estimates: new OutputEstimator(),
    health: new PassiveHealth(),
    firstTokenTimes: new FirstTokenTimes(),
    broken: new Interruptions(() => 1),
    counts: newCountQueue(),
    compares: () => false,
    newMeter,
    newId: () => `id-${ids++}`,
    traces: undefined,
    random: () => 0,
    now: () => 1,
    finished: (record) => records.push(record),
    fault: (error) => faults.push(error),
    bodies: new Bodies(),
    openAttempts: new OpenAttempts('epoch'),
    analyze: async () => {
      throw new DetectorError('unavailable', 'no service in this test');
    },
    isJudge: () => false,
    plainErrors: false,
  };
  const shared = { ...base, ...options.shared?.(base) };
  return {
    store,
    shared,
    records,
    faults,
    open: (exchange) => overwriting(exchange, (one) => drive(one, shared)!),
    use(next) {
      policy = next;
    },
  };
}

/**
 * Overwrites the pieces of a request's body once they are released, as the server does when it uses
 * their memory again.
 */
function overwriting(exchange: Exchange, open: (exchange: Exchange) => ExchangeHandler): ExchangeHandler {
  const pieces: Uint8Array[] = [];
  const own: Exchange = Object.create(exchange, {
    requestBody: {
      value: (bytes: Uint8Array, endOfStream: boolean) => exchange.requestBody(Buffer.from(bytes), endOfStream),
    },
    releaseRequestBody: {
      value() {
        for (const piece of pieces.splice(0)) {
          piece.fill(0xdb);
        }
        exchange.releaseRequestBody();
      },
    },
  });
  const handler = open(own);
  const requestBody = (bytes: Uint8Array, endOfStream: boolean) => {
    const piece = Buffer.from(bytes);
    pieces.push(piece);
    handler.requestBody(piece, endOfStream);
  };
  return new Proxy(handler, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      return name === 'requestBody' ? requestBody : typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Accepts all calls; `say` gets their names. */
export function newExchange(say: (name: string) => void = () => {}): Exchange {
  return {
    traceParent: undefined,
    requestHeaders: () => say('request-headers'),
    requestBody: () => say('request-body'),
    releaseRequestBody: () => {},
    requestTrailers: () => say('request-trailers'),
    responseHeaders: () => say('response-headers'),
    responseBody: () => say('response-body'),
    responseTrailers: () => say('response-trailers'),
    immediateResponse: ({ details }) => say(details),
    handOver: () => {},
    startRequest: (work) => work(),
    inSlices: (step) => void setImmediate(() => repeat(step)),
    end: () => say('end'),
    abort: () => say('abort'),
    pause: () => say('pause'),
    resume: () => say('resume'),
    unsentBytes: 0,
  };
}

function repeat(step: () => number): void {
  while (step() > 0) {}
}
