/**
 * What the supervisor holds each service to, from the ecosystem file and the configuration as they are now: the services
 * are those of its start and any that config.yml names since; what is said of them changes while it runs.
 */
import { isDeepStrictEqual } from 'node:util';
import { instancesStarted, isService, unusable, type DefinedApp } from './adapters/pm2/appDefinition.js';
import { EcosystemReader } from './adapters/pm2/ecosystem.js';
import { applicationOfDefinition, type Application } from './adapters/pm2/identity.js';
import type { Config } from './config/load.js';
import { servicePolicy, type HostSize } from './config/policy.js';
import { messageOf } from './domain/errors.js';
import type { ServicePolicy } from './domain/policy.js';

export class Policies {
  /** Told whenever one has changed. */
  onChange: () => void = () => undefined;
  /** Of the file that the start named; which one it is only a start can change. */
  readonly #reader: EcosystemReader;
  readonly #file: string;
  readonly #host: HostSize;
  /** What the files say now; only some of it applies before the next start. */
  #config: Config;
  #definitions: readonly DefinedApp[] = [];
  /** Why the file, or an application in it, could not be used when it was read last. */
  #fileProblem: string | null = null;
  #problems: ReadonlyMap<string, string> = new Map();
  #current: readonly ServicePolicy[];

  private constructor(config: Config, host: HostSize, reader: EcosystemReader) {
    this.#reader = reader;
    this.#file = config.ecosystemFile;
    this.#config = config;
    this.#host = host;
    this.#current = [];
  }

  /** Rejects when the ecosystem file can't be loaded. */
  static async read(config: Config, host: HostSize): Promise<Policies> {
    const { ecosystemFile: file, ecosystemEnv: envName, pm2Home, pm2Bin } = config;
    const reader = new EcosystemReader({ file, envName, pm2Home, pm2Bin, readFor: 'start' });
    const policies = new Policies(config, host, reader);
    policies.#definitions = policies.#noteProblems(await policies.#reader.read());
    policies.#current = policies.#judge();
    return policies;
  }

  get current(): readonly ServicePolicy[] {
    return this.#current;
  }

  /** Which service a call without a name means; null: the first. */
  get defaultService(): string | null {
    return this.#config.defaultService;
  }

  /** The ecosystem file as it was read last. */
  get definitions(): readonly DefinedApp[] {
    return this.#definitions;
  }

  of(service: string | null): ServicePolicy | undefined {
    return this.#current.find(({ name }) => name === service);
  }

  /** What tells instances of a service from other applications of its name; null where the file does not name it. */
  ownerOf(service: string): Application | null {
    const definition = this.#definitions.find(({ name }) => name === service)?.definition ?? null;
    return definition === null ? null : applicationOfDefinition(definition);
  }

  /** Whether the ecosystem file or config.yml names it now. A file that can't be read says nothing. */
  async isConfigured(service: string): Promise<boolean> {
    if (this.#config.services.has(service)) return true;
    try {
      return (await this.#reader.read()).some(({ name }) => name === service);
    } catch {
      return true;
    }
  }

  configure(config: Config): void {
    this.#config = config;
    this.#renew();
  }

  /** Why a service can't be started as the file says now; null when it can, or the file does not name it. */
  problemOf(service: string): string | null {
    if (this.#fileProblem !== null && this.#definitions.some(({ name }) => name === service))
      return this.#fileProblem;
    return this.#problems.get(service) ?? null;
  }

  /** Reads the file if it, or one that it takes something from, has changed. What is wrong with it is kept for `problemOf`. */
  async readChanges(): Promise<void> {
    const isKnown = this.#fileProblem === null && this.#problems.size === 0;
    // Where the disk does not answer, reading says so.
    if (isKnown && !(await this.#reader.hasChanged().catch(() => true))) return;
    await this.readDefinitions().catch(() => undefined);
  }

  /** What the ecosystem file says now, for a start; what follows for the services holds from then on. */
  async readDefinitions(): Promise<readonly DefinedApp[]> {
    return this.#take(() => this.#reader.read());
  }

  /**
   * Evaluates the file anew, even when it seems to be the same: before a deploy.
   * Rejects with what keeps the service from being started as the file says; a service that it does not name is no problem.
   */
  async renewDefinition(service: string): Promise<void> {
    const now = await this.#take(() => this.#reader.readAnew());
    const defined = now.find(({ name }) => name === service);
    if (defined?.problem != null) throw unusable(defined, this.#file);
  }

  async #take(read: () => Promise<readonly DefinedApp[]>): Promise<readonly DefinedApp[]> {
    const now = this.#noteProblems(
      await read().catch((error: unknown) => {
        this.#fileProblem = messageOf(error);
        throw error;
      }),
    );
    const before = this.#definitions;
    this.#definitions = before.map((known) => {
      const found = now.find(({ name }) => name === known.name);
      // One that PM2 refuses now says nothing: what it was held to before still holds.
      return found === undefined || found.definition === null ? known : found;
    });
    if (!isDeepStrictEqual(before, this.#definitions)) this.#renew();
    return now;
  }

  #noteProblems(apps: readonly DefinedApp[]): readonly DefinedApp[] {
    this.#fileProblem = null;
    const refused = apps.filter(({ problem }) => problem !== null);
    this.#problems = new Map(refused.map((app) => [app.name, unusable(app, this.#file).message]));
    return apps;
  }

  #renew(): void {
    const policies = this.#judge();
    // Supervised until the next start, so their ports and time-outs are still needed.
    const removed = this.#current.filter(({ name }) => !policies.some((policy) => policy.name === name));
    this.#current = [...policies, ...removed];
    this.onChange();
  }

  /** Services of the ecosystem file, and those that config.yml declares beside them. */
  #judge(): readonly ServicePolicy[] {
    const services = this.#definitions.filter(isService);
    const names = new Set(services.map(({ name }) => name));
    // Of two applications of one name, which PM2 allows, only the first is a service.
    const defined = [...names].flatMap((name) => services.find((app) => app.name === name) ?? []);
    const declared = [...this.#config.services.keys()].filter((name) => !names.has(name));
    const described = defined.map((app) => {
      const { name, port, definition } = app;
      const limit = definition?.options['max_memory_restart'];
      return {
        name,
        ...(port === null ? {} : { startPort: port }),
        ...(typeof limit === 'number' ? { memoryLimitBytes: limit } : {}),
        instances: instancesStarted(app),
        isJob: isJob({ definition }),
      };
    });
    return [...described, ...declared.map((name) => ({ name }))].map((service) =>
      servicePolicy(this.#config, service, this.#host),
    );
  }
}

/** Whether each start of it is one run (domain/failures/endRules.ts). */
export function isJob({ definition }: Pick<DefinedApp, 'definition'>): boolean {
  const autorestart = definition?.options['autorestart'];
  return autorestart === false || autorestart === 'false';
}
