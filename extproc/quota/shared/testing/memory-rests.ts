import { MAX_SHARED_RESTS, type RestStore, type SharedRest } from '../rest-store.ts';

/** Keeps rests in memory, for tests of replicas. */
export class MemoryRests implements RestStore {
  readonly #nowMs: () => number;
  #untilMs = new Map<string, number>();
  /** Whether exchanges are answered: as it should be, with a failure, or never. */
  answers: 'yes' | 'failed' | 'never' = 'yes';
  exchanges = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  exchangeRests(began: readonly SharedRest[], done: (rests: readonly SharedRest[] | undefined) => void): void {
    this.exchanges++;
    if (this.answers !== 'yes') {
      if (this.answers === 'failed') {
        done(undefined);
      }
      return;
    }
    const nowMs = this.#nowMs();
    for (const { name, forMs } of began) {
      this.#untilMs.set(name, Math.max(this.#untilMs.get(name) ?? 0, nowMs + forMs));
    }
    const left = [...this.#untilMs].filter(([, untilMs]) => untilMs > nowMs).sort(([, one], [, two]) => one - two);
    this.#untilMs = new Map(left.slice(0, MAX_SHARED_RESTS));
    done([...this.#untilMs].map(([name, untilMs]) => ({ name, forMs: untilMs - nowMs })));
  }
}
