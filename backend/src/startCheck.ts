/**
 * Whether the next instance of a service will be what its running instances are. Looked at regularly, because it is needed
 * in the moment of a failure, and a mistake that shows only then makes the failure worse.
 */
import type { ProcessRow } from './adapters/pm2/processRow.js';
import { differingPaths, startDifferences } from './adapters/pm2/startDifferences.js';
import { RealPaths } from './adapters/files/realPaths.js';
import type { Policies } from './policies.js';
import type { Clock, Logger } from './ports.js';

const INTERVAL_MS = 10_000;

interface StartCheckOptions {
  readonly policies: Policies;
  /** The running instances of a service, as of the last list. */
  readonly rowsOf: (service: string) => readonly ProcessRow[];
  readonly clock: Clock;
  readonly logger: Logger;
}

export class StartCheck {
  readonly #options: StartCheckOptions;
  readonly #warned = new Map<string, string>();
  readonly #paths = new RealPaths();
  #cancel = (): void => undefined;

  constructor(options: StartCheckOptions) {
    this.#options = options;
  }

  /** Looks now and from then on, until `stop`. */
  async start(): Promise<void> {
    await this.#look();
    this.#cancel = this.#options.clock.after(INTERVAL_MS, () => void this.start());
  }

  stop(): void {
    this.#cancel();
  }

  /** What to know before the next instance of the service is started; empty: it will be as those that run. */
  warningsOf(service: string): readonly string[] {
    const { policies, rowsOf } = this.#options;
    const problem = policies.problemOf(service);
    const planned = policies.definitions.find(({ name }) => name === service)?.definition ?? null;
    const rows = rowsOf(service);
    const isKnown = planned !== null || rows.length > 0;
    const meanwhile = isKnown ? ' Until that is mended, what was known before is started.' : '';
    const refused = problem === null ? [] : [`${problem}${meanwhile}`];
    if (planned === null) return refused;
    const { PORT: givenPort } = planned.env;
    const noPort =
      givenPort === undefined || planned.port !== null
        ? []
        : [
            `PORT of ${service} is ${JSON.stringify(givenPort)}, which is no port: it is neither probed nor given traffic. ` +
              'Unix sockets are not supported; give it a number from 1 to 65535.',
          ];
    const found = rows
      .map(({ record }) => startDifferences(planned, record, (a, b) => this.#isSamePlace(a, b)))
      .find((differences) => differences.length > 0);
    if (found === undefined) return [...refused, ...noPort];
    const differs = `An instance that is started now differs from those that run: ${found.join('; ')}.`;
    return [...refused, ...noPort, differs];
  }

  async #look(): Promise<void> {
    const { policies, logger } = this.#options;
    await policies.readChanges();
    for (const { name } of policies.current) {
      await this.#followLinks(name);
      const warnings = this.warningsOf(name);
      const text = warnings.join(' ');
      if (text !== '' && this.#warned.get(name) !== text)
        logger.warn('what the next start of a service would be', { service: name, warnings });
      this.#warned.set(name, text);
    }
  }

  async #followLinks(service: string): Promise<void> {
    const { policies, rowsOf } = this.#options;
    const planned = policies.definitions.find(({ name }) => name === service)?.definition ?? null;
    if (planned === null) return;
    await this.#paths.look(rowsOf(service).flatMap(({ record }) => differingPaths(planned, record)));
  }

  /** A path with a link in it, and where that leads: the same for as long as the link leads there. What was not looked at may be. */
  #isSamePlace(a: string, b: string): boolean {
    const [here, there] = [this.#paths.of(a), this.#paths.of(b)];
    return here === null || there === null || here === there;
  }
}
