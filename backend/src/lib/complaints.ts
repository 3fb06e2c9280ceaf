/** Tells once of what may happen a thousand times: again only after a while, and then how often it was meanwhile. */

const QUIET_MS = 10 * 60_000;
/** Kinds are few; what a peer may choose (the number of its protocol) is among them. */
const MOST_KINDS = 100;

type Warn = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

interface Kind {
  readonly toldAtMs: number;
  silenced: number;
}

export class Complaints {
  readonly #logger: { readonly warn: Warn };
  readonly #nowMs: () => number;
  readonly #kinds = new Map<string, Kind>();

  constructor(logger: { readonly warn: Warn }, nowMs: () => number) {
    this.#logger = logger;
    this.#nowMs = nowMs;
  }

  /** @param kind what counts as the same complaint. */
  complain(kind: string, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const known = this.#kinds.get(kind);
    const nowMs = this.#nowMs();
    if (known !== undefined && nowMs - known.toldAtMs < QUIET_MS) {
      known.silenced += 1;
      return;
    }
    if (known === undefined && this.#kinds.size >= MOST_KINDS) return;
    this.#kinds.set(kind, { toldAtMs: nowMs, silenced: 0 });
    const silenced = known?.silenced ?? 0;
    this.#logger.warn(message, silenced === 0 ? fields : { ...fields, alsoMeanwhile: silenced });
  }
}
