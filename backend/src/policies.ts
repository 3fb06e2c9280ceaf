/**
 * What the supervisor holds each service to, from the ecosystem file and the configuration as they are now: the services
 * are those of its start and any that config.yml names since; what is said of them changes while it runs.
 */
import { isDeepStrictEqual } from 'node:util';
import type { AppDefinition } from './adapters/pm2/appDefinition.js';
import { loadEcosystem } from './adapters/pm2/ecosystem.js';
import type { Config } from './config/load.js';
import { servicePolicy, type HostSize } from './config/policy.js';
import type { ServicePolicy } from './domain/policy.js';

/** Applications of Holdfast itself in the ecosystem file. */
export const OWN_PREFIX = 'ha-';

export class Policies {
  /** Told whenever one has changed. */
  onChange: () => void = () => undefined;
  readonly #start: Config;
  readonly #host: HostSize;
  /** What the files say now; only some of it applies before the next start. */
  #config: Config;
  #definitions: readonly AppDefinition[];
  #current: readonly ServicePolicy[];

  private constructor(config: Config, host: HostSize, definitions: readonly AppDefinition[]) {
    this.#start = config;
    this.#config = config;
    this.#host = host;
    this.#definitions = definitions;
    this.#current = this.#judge();
  }

  /** Rejects when the ecosystem file can't be loaded. */
  static async read(config: Config, host: HostSize): Promise<Policies> {
    return new Policies(config, host, await loadDefinitions(config));
  }

  get current(): readonly ServicePolicy[] {
    return this.#current;
  }

  /** Which service a call without a name means; null: the first. */
  get defaultService(): string | null {
    return this.#config.defaultService;
  }

  /** The ecosystem file as it was read last. */
  get definitions(): readonly AppDefinition[] {
    return this.#definitions;
  }

  of(service: string | null): ServicePolicy | undefined {
    return this.#current.find(({ name }) => name === service);
  }

  /** Whether the ecosystem file or config.yml names it now. A file that can't be read says nothing. */
  async isConfigured(service: string): Promise<boolean> {
    if (this.#config.services.has(service)) return true;
    try {
      return (await loadDefinitions(this.#start)).some(({ name }) => name === service);
    } catch {
      return true;
    }
  }

  configure(config: Config): void {
    this.#config = config;
    this.#renew();
  }

  /** Reads the ecosystem file, for a start by what it says now; what follows for the services holds from then on. */
  async readDefinitions(): Promise<readonly AppDefinition[]> {
    // Which file that is only a start can change.
    const now = await loadDefinitions(this.#start);
    const before = this.#definitions;
    this.#definitions = before.map((known) => now.find(({ name }) => name === known.name) ?? known);
    if (!isDeepStrictEqual(before, this.#definitions)) this.#renew();
    return now;
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
    const defined = this.#definitions.filter(({ name }) => !name.startsWith(OWN_PREFIX));
    const names = new Set(defined.map(({ name }) => name));
    const declared = [...this.#config.services.keys()].filter((name) => !names.has(name));
    const described = defined.map(({ name, port, options }) => {
      const limit = options['max_memory_restart'];
      return {
        name,
        ...(port === null ? {} : { startPort: port }),
        ...(typeof limit === 'number' ? { memoryLimitBytes: limit } : {}),
      };
    });
    return [...described, ...declared.map((name) => ({ name }))].map((service) =>
      servicePolicy(this.#config, service, this.#host),
    );
  }
}

function loadDefinitions({
  ecosystemFile,
  ecosystemEnv,
  pm2Home,
}: Config): Promise<readonly AppDefinition[]> {
  return loadEcosystem({ file: ecosystemFile, envName: ecosystemEnv, pm2Home });
}
