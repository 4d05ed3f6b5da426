/** The external detectors of a process: one for each settings and secrets, used by all requests. */
import type { ExternalDetectorSettings } from '../../../contract/guardrails.ts';
import { DetectorEndpoint, type EndpointTls } from './detector-endpoint.ts';
import { type Analysis, type AnalyzeContext, DetectorError } from './external-detector.ts';
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
    return new RemoteDetector({ api: apiOf(settings, key, now), endpoint, now });
  }
}

function apiOf(settings: ExternalDetectorSettings, key: string | undefined, now: () => number): DetectorApi {
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
      return modelJudgeApi(settings, key);
    default:
      throw new Error(`unknown detector ${(settings satisfies never as ExternalDetectorSettings).type}`);
  }
}
