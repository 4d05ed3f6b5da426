/** Stands for the stream of an API that has none: nothing of it is read or sent. */
import type { Failure } from '../errors.ts';
import type { Dialect, EventFacts, EventReader, EventVerdict, StreamWriter } from './adapter.ts';

const NOTHING = new Uint8Array(0);

const NO_FACTS: EventFacts = { kept: () => NO_FACTS };

export class AbsentStream implements EventReader, StreamWriter {
  readonly usage = undefined;
  readonly usageFinal = false;
  readonly state = 'open';
  readonly responseModel = undefined;
  readonly serviceTier = undefined;
  readonly unreadable = 0;
  readonly replacement = NOTHING;
  readonly converts = true;
  readonly #dialect: Dialect;

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  read(): EventFacts {
    return NO_FACTS;
  }

  readPart(): EventFacts {
    return NO_FACTS;
  }

  write(): EventVerdict {
    return 'drop';
  }

  truncate(): Uint8Array {
    return NOTHING;
  }

  fail(failure: Failure): Uint8Array {
    return this.#dialect.errorBody(failure);
  }
}
