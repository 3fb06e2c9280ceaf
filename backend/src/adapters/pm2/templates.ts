/**
 * What a service is started as, from the best source there is:
 *   1. the ecosystem file, evaluated now;
 *   2. when it cannot be loaded: its last good answer (a file that is being edited, or is broken, must not keep
 *      a dead instance from being replaced), with a warning;
 *   3. for a service it does not know (started by hand): a running instance of it, or the last one there was.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { Logger } from '../../ports.js';
import type { AppDefinition } from './appDefinition.js';
import { definitionFromRecord } from './launch.js';
import type { ProcessRow } from './processRow.js';

/** Services whose last record is kept; the one unseen for longest goes. */
const MAX_RECORDS = 256;

export class TemplateStore {
  readonly #load: () => Promise<readonly AppDefinition[]>;
  readonly #logger: Logger;
  readonly #records = new Map<string, ProcessRow['record']>();
  #lastGood: readonly AppDefinition[] | null;
  #lastProblem = '';

  /** @param lastGood what it said when it was read before; null: nobody has read it. */
  constructor(
    load: () => Promise<readonly AppDefinition[]>,
    logger: Logger,
    lastGood: readonly AppDefinition[] | null = null,
  ) {
    this.#load = load;
    this.#logger = logger;
    this.#lastGood = lastGood;
  }

  /** Keeps one record per service, so that it can be started again when its last instance is gone. */
  remember(rows: readonly ProcessRow[]): void {
    for (const { process, record } of rows) {
      this.#records.delete(process.service);
      this.#records.set(process.service, record);
    }
    while (this.#records.size > MAX_RECORDS)
      this.#records.delete(this.#records.keys().next().value as string);
  }

  /** Rejects with `service.undefined`, or with the ecosystem file's problem when there never was a good one. */
  async definitionOf(service: string): Promise<AppDefinition> {
    const definitions = await this.#definitions(service);
    const defined = definitions.find((definition) => definition.name === service);
    if (defined !== undefined) return defined;
    const record = this.#records.get(service);
    const cloned = record === undefined ? null : definitionFromRecord(record);
    if (cloned !== null) return cloned;
    throw new HoldfastError(
      'service.undefined',
      `"${service}" is neither in the ecosystem file nor known to PM2, so there is nothing to start it from. Add it to the file, or start it once with pm2.`,
      { status: 404, details: { service } },
    );
  }

  async #definitions(service: string): Promise<readonly AppDefinition[]> {
    try {
      this.#lastGood = await this.#load();
      this.#lastProblem = '';
      return this.#lastGood;
    } catch (error) {
      if (this.#lastGood === null && !this.#records.has(service)) throw error;
      const problem = messageOf(error);
      if (problem !== this.#lastProblem) {
        this.#logger.warn('the ecosystem file cannot be loaded, going on with what is known', { problem });
        this.#lastProblem = problem;
      }
      return this.#lastGood ?? [];
    }
  }
}
