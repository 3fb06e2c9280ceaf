/**
 * What a service is started as, from the best source there is:
 *   1. the ecosystem file as it is now;
 *   2. when it cannot be loaded, or PM2 refuses this one application: what it said last when it could be used (a file that
 *      is being edited must not keep a dead instance from being replaced), with a warning;
 *   3. for a service it does not know (started by hand): a running instance of it, or the last one there was.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { Logger } from '../../ports.js';
import { unusable, type AppDefinition, type DefinedApp } from './appDefinition.js';
import { definitionFromRecord } from './launch.js';
import type { ProcessRow } from './processRow.js';

/** Services whose last record is kept; the one unseen for longest goes. */
const MAX_RECORDS = 256;

export class TemplateStore {
  readonly #load: () => Promise<readonly DefinedApp[]>;
  readonly #logger: Logger;
  readonly #records = new Map<string, ProcessRow['record']>();
  /** What the file said of each service when that could last be used. */
  readonly #lastGood = new Map<string, AppDefinition>();
  /** By what it is about: the file, or one application. */
  readonly #lastProblems = new Map<string, string>();

  /** @param lastGood what the file said when it was read before. */
  constructor(
    load: () => Promise<readonly DefinedApp[]>,
    logger: Logger,
    lastGood: readonly DefinedApp[] = [],
  ) {
    this.#load = load;
    this.#logger = logger;
    this.#keep(lastGood);
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

  /** Rejects with `service.undefined`, or with the file's problem when there is nothing to go by but the file. */
  async definitionOf(service: string): Promise<AppDefinition> {
    const problem = await this.#problemOf(service);
    const known = this.#lastGood.get(service) ?? this.#fromRecord(service);
    if (known !== null) return known;
    throw (
      problem ??
      new HoldfastError(
        'service.undefined',
        `"${service}" is neither in the ecosystem file nor known to PM2, so there is nothing to start it from. Add it to the file, or start it once with pm2.`,
        { status: 404, details: { service } },
      )
    );
  }

  /** Reads the file. @returns what keeps it from saying how to start the service; null when nothing does. */
  async #problemOf(service: string): Promise<unknown> {
    let apps: readonly DefinedApp[];
    try {
      apps = await this.#load();
    } catch (error) {
      this.#warn('the ecosystem file cannot be loaded, going on with what is known', '', messageOf(error));
      return error;
    }
    this.#lastProblems.delete('');
    this.#keep(apps);
    const app = apps.find(({ name }) => name === service);
    if (app === undefined) {
      // It is not in the file any more: a running instance says better what it is.
      this.#lastGood.delete(service);
      return null;
    }
    if (app.problem === null) {
      this.#lastProblems.delete(service);
      return null;
    }
    const what = `the ecosystem file's ${service} cannot be started, going on with what is known`;
    this.#warn(what, service, app.problem);
    return unusable(app, 'the ecosystem file');
  }

  #keep(apps: readonly DefinedApp[]): void {
    for (const { name, definition } of apps) if (definition !== null) this.#lastGood.set(name, definition);
  }

  #fromRecord(service: string): AppDefinition | null {
    const record = this.#records.get(service);
    return record === undefined ? null : definitionFromRecord(record);
  }

  /** Once for each problem. */
  #warn(message: string, about: string, problem: string): void {
    if (this.#lastProblems.get(about) === problem) return;
    this.#lastProblems.set(about, problem);
    this.#logger.warn(message, { problem });
  }
}
