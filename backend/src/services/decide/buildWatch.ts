/**
 * Knows whether the files of a service are those that serve, and keeps a copy of those that do.
 *
 *   all instances serve, for the stable period ─▶ their files are copied, if none is newer than their start
 *   a deploy failed ─▶ unproven: the next instance that starts would run files that did not verify
 *   a deploy or failover verified, or the files are again the ones that were kept ─▶ no longer
 *
 * Copying and comparing go on beside everything else, one service at a time; nothing waits for them. Where that fails, as on a
 * disk that hangs, it is told once, and tried again after a pause.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import { instanceKey } from '../../domain/model.js';
import type { BuildStore, Clock, Logger } from '../../ports.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface BuildWatchOptions {
  readonly clock: Clock;
  readonly builds: BuildStore;
  /** What instances of a service run, as PM2 was told. */
  readonly scriptOf: (service: string) => string | null;
  readonly logger: Logger;
}

/** Between two looks whether unproven files have been replaced, and between two tries to copy. */
const COMPARE_MS = 10_000;

export class BuildWatch {
  readonly #options: BuildWatchOptions;
  /** Of which instances the files have been dealt with. */
  readonly #handled = new Map<string, string>();
  /** When (Clock.nowMs) files of a service that could not be copied are tried again. */
  readonly #retryAtMs = new Map<string, number>();
  /** What was told last of each service. */
  readonly #told = new Map<string, string>();
  #comparedAtMs = 0;
  #busy = false;

  constructor(options: BuildWatchOptions) {
    this.#options = options;
  }

  /** Called every look at PM2. */
  review(services: readonly SupervisedService[]): void {
    if (this.#busy) return;
    const nowMs = this.#options.clock.nowMs();
    const unproven = services.filter((service) => service.unproven !== null && service.operation === null);
    const due = nowMs - this.#comparedAtMs >= COMPARE_MS && unproven.length > 0;
    const fresh = services.find((service) => this.#isProven(service));
    if (!due && fresh === undefined) return;
    this.#busy = true;
    void this.#work(due ? unproven : [], fresh).finally(() => (this.#busy = false));
  }

  /** Puts back the files that served last. @returns what was done. Rejects with `deploy.nothing-kept`. */
  async putBack({ name }: SupervisedService): Promise<string> {
    const done = await this.#options.builds.putBack(name);
    if (done === null) {
      const message = `Of ${name}, no files are kept that could be put back: they are copied once its instances have served for a while, if they have not changed since these were started.`;
      throw new HoldfastError('deploy.nothing-kept', message, { status: 409 });
    }
    const { restored, aside } = done;
    const where = aside === null ? '' : `; those that lay there are in ${aside}`;
    this.#options.logger.warn('files were put back', { service: name, restored, aside });
    return `${restored.length} files and links were put back${where}`;
  }

  /** Never rejects. */
  async #work(unproven: readonly SupervisedService[], fresh: SupervisedService | undefined): Promise<void> {
    for (const service of unproven) await this.#attempt(service, () => this.#compare(service));
    if (fresh === undefined) return;
    if (!(await this.#attempt(fresh, () => this.#keep(fresh)))) this.#handled.delete(fresh.name);
  }

  /** Whether it worked. */
  async #attempt({ name }: SupervisedService, work: () => Promise<void>): Promise<boolean> {
    const { clock, logger } = this.#options;
    try {
      await work();
      this.#told.delete(name);
      return true;
    } catch (thrown) {
      const problem = messageOf(thrown);
      if (this.#told.get(name) !== problem)
        logger.warn('the files of a service could not be compared or copied', { service: name, problem });
      this.#told.set(name, problem);
      this.#retryAtMs.set(name, clock.nowMs() + COMPARE_MS);
      return false;
    }
  }

  async #compare(service: SupervisedService): Promise<void> {
    const { clock, builds } = this.#options;
    this.#comparedAtMs = clock.nowMs();
    if ((await builds.differences(service.name))?.length === 0) service.unproven = null;
  }

  async #keep(service: SupervisedService): Promise<void> {
    const { builds, scriptOf, logger } = this.#options;
    this.#handled.set(service.name, lives(service));
    const script = scriptOf(service.name);
    if (script === null || (await builds.differences(service.name))?.length === 0) return;
    const startedAtMs = Math.min(...service.serving().map((process) => process.startedAtMs));
    const kept = await builds.keep(service.name, script, startedAtMs);
    if (!kept.ok)
      logger.info('the build that serves was not kept', { service: service.name, problem: kept.problem });
  }

  /** Its instances have verified, and their files have not been dealt with. */
  #isProven(service: SupervisedService): boolean {
    if (service.state() !== 'healthy' || service.operation !== null || service.unproven !== null)
      return false;
    if (this.#handled.get(service.name) === lives(service)) return false;
    const { clock } = this.#options;
    if (clock.nowMs() < (this.#retryAtMs.get(service.name) ?? 0)) return false;
    return service
      .serving()
      .every(({ startedAtMs }) => clock.wallMs() - startedAtMs >= service.policy.failure.stableMs);
  }
}

function lives(service: SupervisedService): string {
  return service.serving().map(instanceKey).sort().join(' ');
}
