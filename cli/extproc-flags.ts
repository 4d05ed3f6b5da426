/** The command line of `tallygate extproc`. */
import type { ExtprocOptions } from '../extproc/main.ts';
import type { ControllerSourceOptions } from '../extproc/sidecar/controller-source.ts';
import { type Address, parseAddress } from '../runtime/environment.ts';
import type { Settings } from './environment.ts';
import { readOptions, wrongUse } from './verb.ts';

const usage = `Usage: tallygate extproc --policy FILE (--socket PATH | --listen HOST:PORT) [OPTION]…
       tallygate extproc --controller HOST:PORT --token FILE --ca FILE --socket PATH [OPTION]…

Runs only Envoy's ext_proc service. It follows the policy file that tallygate run writes or, in the
pod of an Envoy proxy, the controller. It is ready when it has a policy.

  --policy FILE        the policy, in JSON lines; replace the file (rename) to change the policy
  --detector-secrets FILE
                       the secrets of the detectors of guardrails, as a JSON object
  --controller HOST:PORT
                       the controller that sends the policy; the last good policy is kept in the
                       folder of the socket, the shared quota store and the secrets of guardrails
                       in that of the journal, so that a restart does not need the controller
  --token FILE         the token of the pod's service account, which the controller reviews
  --ca FILE            the CA certificates that verify the controller
  --envoy-admin HOST:PORT
                       the admin interface of the pod's Envoy; extproc reports to the controller
                       whether Envoy sends requests here as it should
  --socket PATH        listen on a Unix socket
  --listen HOST:PORT   listen on TCP; make sure that only Envoy can connect
  --journal FILE       keep holds and charges in this file, so that a restart loses none
  --quota-socket PATH  the socket for tallygate quota (quota.sock in the folder of the journal)
  --metrics ADDRESS    HOST:PORT or unix:PATH for /metrics, /healthz and /readyz
                       (127.0.0.1:9464, TALLYGATE_METRICS_ADDRESS)
  --spare              load everything, and start when a line arrives on stdin
`;

const options = {
  policy: { type: 'string' },
  'detector-secrets': { type: 'string' },
  controller: { type: 'string' },
  token: { type: 'string' },
  ca: { type: 'string' },
  'envoy-admin': { type: 'string' },
  socket: { type: 'string' },
  listen: { type: 'string' },
  journal: { type: 'string' },
  'quota-socket': { type: 'string' },
  metrics: { type: 'string' },
  spare: { type: 'boolean', default: false },
} as const;

type ListenOption = ExtprocOptions['listen'];
type PolicyFlags =
  | { readonly file: string }
  | Omit<
      ControllerSourceOptions,
      | 'programVersion'
      | 'contentDestinations'
      | 'storeFolder'
      | 'useDetectorSecrets'
      | 'fullestBudgets'
      | 'resting'
      | 'answerConsole'
    >;

export interface ExtprocFlags {
  readonly source: PolicyFlags;
  readonly listen: ListenOption;
  /** The socket or address as given, to name the process. */
  readonly where: string;
  readonly metricsAddress: Address;
  readonly journalPath: string | undefined;
  readonly quotaSocket: string | undefined;
  readonly detectorSecretsPath: string | undefined;
  readonly spare: boolean;
}

/** Returns the exit code if the process should end: help was shown, or the flags are wrong. */
export function readFlags(args: readonly string[], settings: Settings): ExtprocFlags | number {
  const parsed = readOptions('extproc', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { socket, listen: listenText, journal: journalPath, metrics, spare } = parsed.values;
  const source = policyFlags(parsed.values);
  if (typeof source === 'string') {
    return wrongUse('extproc', source, usage);
  }
  const listen = listenAt(socket, listenText);
  if (listen === undefined) {
    return wrongUse('extproc', 'give either --socket PATH or --listen HOST:PORT', usage);
  }
  const metricsAddress = metrics === undefined ? settings.TALLYGATE_METRICS_ADDRESS : parseAddress(metrics);
  if (metricsAddress === undefined) {
    return wrongUse('extproc', '--metrics must be HOST:PORT or unix:PATH', usage);
  }
  const { 'quota-socket': quotaSocket, 'detector-secrets': detectorSecretsPath } = parsed.values;
  const where = socket ?? listenText ?? '';
  return { source, listen, where, metricsAddress, journalPath, quotaSocket, detectorSecretsPath, spare };
}

type SourceFlags = Readonly<
  Partial<Record<'policy' | 'controller' | 'token' | 'ca' | 'envoy-admin' | 'socket', string | undefined>>
>;

/** Returns a text if the flags are wrong. */
function policyFlags(flags: SourceFlags): PolicyFlags | string {
  const { policy, controller, token, ca, 'envoy-admin': envoyAdmin, socket } = flags;
  if ((policy === undefined) === (controller === undefined)) {
    return 'give either --policy FILE or --controller HOST:PORT';
  }
  if (policy !== undefined) {
    const extra = (['token', 'ca', 'envoy-admin'] as const).find((name) => flags[name] !== undefined);
    return extra === undefined ? { file: policy } : `--${extra} requires --controller`;
  }
  if (controller === undefined || parseAddress(controller)?.type !== 'tcp') {
    return '--controller must be HOST:PORT';
  }
  if (token === undefined || ca === undefined) {
    return '--controller requires --token FILE and --ca FILE';
  }
  if (socket === undefined) {
    return '--controller requires --socket PATH';
  }
  const admin = envoyAdmin === undefined ? undefined : parseAddress(envoyAdmin);
  if (envoyAdmin !== undefined && admin?.type !== 'tcp') {
    return '--envoy-admin must be HOST:PORT';
  }
  return {
    controller,
    tokenPath: token,
    caPath: ca,
    socketPath: socket,
    envoyAdmin: admin?.type === 'tcp' ? admin : undefined,
  };
}

function listenAt(socket: string | undefined, text: string | undefined): ListenOption | undefined {
  if ((socket === undefined) === (text === undefined)) {
    return undefined;
  }
  if (socket !== undefined) {
    return { path: socket };
  }
  const address: Address | undefined = parseAddress(text ?? '');
  return address?.type === 'tcp' ? { host: address.host, port: address.port } : undefined;
}
