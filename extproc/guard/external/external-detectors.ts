/** The external detectors of a process: one for each settings and secrets, used by all requests. */
import { randomUUID } from 'node:crypto';
import type { ExternalDetectorSettings, ModelJudgeSettings } from '../../../contract/guardrails.ts';
import { DetectorEndpoint, type EndpointTls } from './detector-endpoint.ts';
import { type Analysis, type AnalyzeContext, DetectorError } from './external-detector.ts';
import { isJudgeProof, judgeProof } from './judge-proof.ts';
import { lakeraApi } from './lakera.ts';
import { modelJudgeApi } from './model-judge.ts';
import { openAIModerationApi } from './openai-moderation.ts';
import { presidioApi } from './presidio.ts';
import { type DetectorApi, RemoteDetector } from './remote-detector.ts';
import { serviceGuard } from './service-guard.ts';
import { webhookApi } from './webhook.ts';

export interface ExternalDetectorsOptions {
  /** Returns the value of a secret by its id; undefined: it is not known (yet). */
  readonly secret: (id: string) => string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Beyond it, the detector that was used least recently is closed; its requests in flight fail. */
const MAX_DETECTORS = 256;

export class ExternalDetectors {
  readonly #options: ExternalDetectorsOptions;
  /** By settings and secrets; those used last come last. */
  readonly #detectors = new Map<string, RemoteDetector>();
  /** Of judges without a secret, which are known to this process only. */
  readonly #ownKey = randomUUID();

  constructor(options: ExternalDetectorsOptions) {
    this.#options = options;
  }

  /** As `ExternalDetector.analyze`, by the detector with these settings. */
  async analyze(
    settings: ExternalDetectorSettings,
    text: string,
    context: AnalyzeContext,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Analysis> {
    return this.#detectorFor(settings).analyze(text, context, timeoutMs, signal);
  }

  /** Whether a header proves that a request comes from each of these judges, by their keys. */
  isJudge(proof: string, judges: readonly ModelJudgeSettings[]): boolean {
    const { secret, now } = this.#options;
    return judges.every(({ service }) => {
      const key = service.secret === undefined ? this.#ownKey : secret(service.secret);
      return key !== undefined && isJudgeProof(proof, key, now());
    });
  }

  close(): void {
    for (const detector of this.#detectors.values()) {
      detector.close();
    }
    this.#detectors.clear();
  }

  #detectorFor(settings: ExternalDetectorSettings): RemoteDetector {
    const { service } = settings;
    const ids = [service.secret, service.clientCertificate?.chain, service.clientCertificate?.privateKey];
    const [key, certificatePem, privateKeyPem] = ids.map((id) => (id === undefined ? undefined : this.#secret(id)));
    const name = JSON.stringify([settings, key, certificatePem]);
    const detector = this.#detectors.get(name) ?? this.#newDetector(settings, key, { certificatePem, privateKeyPem });
    this.#detectors.delete(name);
    this.#detectors.set(name, detector);
    const [oldest] = this.#detectors;
    if (oldest !== undefined && this.#detectors.size > MAX_DETECTORS) {
      this.#detectors.delete(oldest[0]);
      oldest[1].close();
    }
    return detector;
  }

  #secret(id: string): string {
    const value = this.#options.secret(id);
    if (value === undefined) {
      throw new DetectorError('unavailable', 'the secret for the detector has not arrived');
    }
    return value;
  }

  #newDetector(settings: ExternalDetectorSettings, key: string | undefined, own: EndpointTls): RemoteDetector {
    const { now } = this.#options;
    const { url, certificateAuthorities: caPem } = settings.service;
    const endpoint = new DetectorEndpoint({
      url: settings.type === 'Presidio' ? `${url.replace(/\/$/, '')}/analyze` : url,
      tls: { ...own, caPem },
      guard: serviceGuard,
    });
    const proof = () => judgeProof(key ?? this.#ownKey, now());
    return new RemoteDetector({ api: apiOf(settings, key, { now, proof }), endpoint, now });
  }
}

function apiOf(
  settings: ExternalDetectorSettings,
  key: string | undefined,
  { now, proof }: { readonly now: () => number; readonly proof: () => string },
): DetectorApi {
  switch (settings.type) {
    case 'Webhook':
      return webhookApi(key, now);
    case 'Presidio':
      return presidioApi(settings, key);
    case 'OpenAIModeration':
      return openAIModerationApi(settings, key);
    case 'Lakera':
      return lakeraApi(settings.projectId, key);
    case 'Model':
      return modelJudgeApi(settings, key, proof);
    default:
      throw new Error(`unknown detector ${(settings satisfies never as ExternalDetectorSettings).type}`);
  }
}
