/**
 * What the gateway balances, by its configuration as it is now: routes and pools, where the upstreams of each pool come
 * from, how they are checked, and the key that signs sticky cookies.
 */
import { systemClock } from './adapters/clock.js';
import { createDiscovery } from './adapters/discovery/index.js';
import { sessionSecretIn } from './adapters/state/sessionSecret.js';
import { FALLBACK_POOL, gatewayRouting, needsKeptKey, type Routing } from './config/gateway.js';
import type { Config } from './config/load.js';
import { readLoadBalancerFile, type LoadBalancerFile } from './config/loadBalancerFile.js';
import { servicePolicy } from './config/policy.js';
import { defaultPool } from './defaultPool.js';
import { FallbackPage } from './fallbackPage.js';
import { messageOf } from './domain/errors.js';
import type { HealthPolicy } from './domain/policy.js';
import type { UpstreamSource } from './domain/upstreams/upstreamSource.js';
import type { Source } from './gateway/primary/primaryOptions.js';
import type { StandInPlan } from './gateway/primary/standIn.js';
import { knowSecrets } from './lib/secrets/ofProcess.js';
import { StartProblem } from './startProcess.js';
import { supervisorAddress } from './supervisorAddress.js';

export interface GatewayPoolsOptions {
  /** As it is now. */
  readonly config: () => Config;
  readonly isUnderPm2: boolean;
  /** `routing` or `checkOf` answer otherwise from now on. */
  readonly onChange: () => void;
  /** `problems` answers otherwise from now on. */
  readonly onProblem: () => void;
}

export class GatewayPools {
  readonly #options: GatewayPoolsOptions;
  #defaultPool = 'default';
  /** What load-balancer-config.json says, where that is the source. */
  #document: LoadBalancerFile | null = null;
  /** The kept key of the sticky cookie; null until it is needed. */
  #keptKey: string | null = null;
  #keyProblem: string | null = null;
  readonly #page: FallbackPage;

  private constructor(options: GatewayPoolsOptions) {
    this.#options = options;
    this.#page = new FallbackPage(options.onChange, options.onProblem);
  }

  /** @throws StartProblem, and what `defaultPool` throws. */
  static async create(options: GatewayPoolsOptions): Promise<GatewayPools> {
    const pools = new GatewayPools(options);
    pools.#readKey();
    if (pools.#keyProblem !== null) throw new StartProblem(pools.#keyProblem);
    pools.#defaultPool = await defaultPool(options.config());
    return pools;
  }

  /** What the configuration asks for and cannot be had (a key for the sticky cookie, a page), a sentence each. */
  get problems(): readonly string[] {
    return [this.#keyProblem, this.#page.problem].filter((problem) => problem !== null);
  }

  routing(): Routing {
    this.#readKey();
    const { gateway } = this.#options.config();
    const page = this.#page.read(gateway.fallback?.kind === 'page' ? gateway.fallback.file : null);
    const routing = gatewayRouting(gateway, this.#defaultPool, this.#keptKey, page);
    const algorithm = this.#document?.algorithm ?? null;
    if (algorithm === null) return routing;
    return { ...routing, pools: routing.pools.map((pool) => ({ ...pool, algorithm })) };
  }

  sourceOf(pool: string): Source {
    const config = this.#options.config();
    const source = this.#sourceOfPool(pool);
    const discovery = createDiscovery(source, pool, {
      clock: systemClock,
      random: Math.random,
      supervisor: supervisorAddress(config),
      parse: (text) => readLoadBalancerFile(text, this.#options.config().serviceDefaults),
      onDocument: (document) => {
        this.#document = document;
        this.#options.onChange();
      },
    });
    const supervised = source.kind === 'pm2';
    return {
      name: supervised ? 'supervisor' : source.kind,
      pool,
      discovery,
      verified: supervised,
      fixed: whyFixed(source),
      whence: whenceOf(source),
      standIn: this.#options.isUnderPm2 || !supervised ? null : standInOf(config),
    };
  }

  /** The upstreams that LB_FALLBACK lists are a pool of their own; any other pool has the source of the gateway. */
  #sourceOfPool(pool: string): UpstreamSource {
    const { source, fallback } = this.#options.config().gateway;
    if (fallback?.kind !== 'hosts' || pool !== FALLBACK_POOL) return source;
    return { kind: 'static', members: fallback.members };
  }

  /** A supervised service is checked as the supervisor checks it. */
  checkOf(pool: string): HealthPolicy {
    const config = this.#options.config();
    if (this.#sourceOfPool(pool).kind === 'static') return config.gateway.check;
    if (config.gateway.source.kind !== 'pm2') return this.#document?.check ?? config.gateway.check;
    return servicePolicy(config, { name: pool }, { cores: 1, memoryBytes: Infinity }).health;
  }

  /**
   * Looks again which service is the default one.
   * @throws as `defaultPool` does; then it stays as it was.
   */
  async findDefault(): Promise<void> {
    const config = this.#options.config();
    const found = await defaultPool(config);
    // Changed again meanwhile: that change is followed by a look of its own.
    if (config.defaultService !== this.#options.config().defaultService) return;
    this.#defaultPool = found;
    this.#options.onChange();
  }

  /** Where the configuration asks for a sticky cookie and names no key. */
  #readKey(): void {
    const { gateway, dataDir } = this.#options.config();
    this.#keyProblem = null;
    if (!needsKeptKey(gateway) || this.#keptKey !== null) return;
    try {
      this.#keptKey = sessionSecretIn(dataDir);
      knowSecrets([this.#keptKey]);
    } catch (error) {
      this.#keyProblem = `There is no key to sign the sticky cookie. ${messageOf(error)}`;
    }
  }
}

/** Where they come from and why from there, for people; completes "3 upstreams". */
function whenceOf(source: UpstreamSource): string {
  if (source.kind !== 'file') return '';
  const why =
    source.found === true
      ? 'it lies in the project root, and no setting chooses another source'
      : 'LB_CONFIG_FILE names it';
  return ` of ${source.file}: ${why}`;
}

/** Why calls may not change what comes from there; null: they may. */
function whyFixed(source: UpstreamSource): string | null {
  const others = 'Calls change upstreams that BACKEND_HOSTS or a range of ports lists.';
  switch (source.kind) {
    case 'static':
      return null;
    case 'pm2':
      return `The supervisor announces the upstreams: scale its services, or drain them there. ${others}`;
    case 'file':
      return `The upstreams are those of ${source.file}: edit it, it is watched. ${others}`;
    case 'dns':
      return `The upstreams are the addresses of ${source.name} in DNS: change them there. ${others}`;
    case 'consul':
      return `The upstreams are the instances of ${source.service} in Consul: change them there. ${others}`;
  }
}

/**
 * What PM2 started belongs to a deployment: its supervisor is the source, also while it is not up yet. A gateway that was
 * started by hand may be alone, unless its settings name services, which only a supervisor knows.
 */
function standInOf(config: Config): StandInPlan | null {
  const { source, routes, deploymentRoutes } = config.gateway;
  const namesServices = routes !== null || deploymentRoutes !== null || config.defaultService !== null;
  if (namesServices || source.kind !== 'pm2' || source.standIn === null) return null;
  const reason = `no source is set (BACKEND_HOSTS, LB_CONFIG_FILE, …) and no supervisor has answered at ${supervisorAddress(config).url}; as soon as one does, its instances take their place`;
  return { members: source.standIn, reason };
}
