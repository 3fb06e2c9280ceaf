/**
 * Upstreams by DNS. A name that begins with _ is looked up as SRV (RFC 2782): targets bring ports and weights, and only
 * those of the lowest priority are used. Any other name is looked up as A and AAAA, with the port from the configuration.
 * The DNS servers are asked themselves, /etc/hosts is not read.
 *
 * Looked up every interval (60 s) with some jitter, sooner after a failure. An answer without addresses, NXDOMAIN
 * included, is a failure too: the last good one is kept, because resolvers err more often than whole services vanish,
 * and active checks find out who is really gone. When one of A and AAAA fails and the other does not, the failed one's
 * last addresses are kept beside the other's; so are those of an SRV target that can't be looked up just now.
 */
import { Resolver } from 'node:dns/promises';

import { memberOf, MOST_WEIGHT, type Member } from '../../domain/upstreams/members.js';
import type { UpstreamSource } from '../../domain/upstreams/upstreamSource.js';
import { messageOf } from '../../domain/errors.js';
import { fullJitterMs } from '../../lib/backoff.js';
import type { Clock, Discovery } from '../../ports.js';
import { MemberFeed } from './feed.js';

type DnsSource = Extract<UpstreamSource, { kind: 'dns' }>;

export interface DnsOptions {
  readonly source: DnsSource;
  readonly clock: Clock;
  readonly random: () => number;
  /** For the first of two tries; the second waits longer. Default 2000. */
  readonly timeoutMs?: number;
}

const FAMILIES = [4, 6] as const;
type Family = (typeof FAMILIES)[number];
const keyOf = (name: string, family: Family): string => `${family} ${name}`;

const MOST_TARGETS = 256;
const RETRY_BASE_MS = 1_000;
/** What the lightest of the others weighs beside a 0, which weighs 1. */
const LEAST_BESIDE_ZERO = 50;
const NO_SUCH_RECORD = new Set(['ENODATA', 'ENOTFOUND']);

export class DnsDiscovery implements Discovery {
  readonly #options: DnsOptions;
  readonly #resolver: Resolver;
  readonly #feed = new MemberFeed();
  /** Last addresses by name and family, of the names of the last answer only. */
  #known = new Map<string, readonly string[]>();
  #failures = 0;
  #cancelTimer: () => void = () => undefined;

  constructor(options: DnsOptions) {
    this.#options = options;
    this.#resolver = new Resolver({ timeout: options.timeoutMs ?? 2_000, tries: 2 });
    if (options.source.servers !== null) this.#resolver.setServers(options.source.servers);
  }

  start(listener: (members: readonly Member[]) => void, onProblem: (problem: string) => void): void {
    this.#feed.open(listener, onProblem);
    void this.#look();
  }

  close(): Promise<void> {
    this.#feed.close();
    this.#cancelTimer();
    this.#resolver.cancel();
    return Promise.resolve();
  }

  async #look(): Promise<void> {
    const { source, clock, random } = this.#options;
    try {
      this.#feed.publish(await this.#lookUp(source));
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#feed.fail(`DNS: ${messageOf(error)}`);
    }
    if (!this.#feed.isOpen) return;
    const delayMs =
      this.#failures === 0
        ? source.intervalMs * (0.9 + 0.2 * random())
        : // At least a little: a server that refuses at once must not be asked without a pause.
          100 + fullJitterMs(this.#failures - 1, { baseMs: RETRY_BASE_MS, capMs: source.intervalMs }, random);
    this.#cancelTimer = clock.after(delayMs, () => void this.#look());
  }

  async #lookUp({ name, port }: DnsSource): Promise<readonly Member[]> {
    const known = new Map<string, readonly string[]>();
    const members =
      port === null
        ? await this.#lookUpServices(name, known)
        : (await this.#addressesOf(name, known)).map((address) => memberOf(address, port));
    if (members.length === 0) throw new Error(`${name} has no addresses`);
    this.#known = known;
    return members;
  }

  async #lookUpServices(name: string, known: Map<string, readonly string[]>): Promise<readonly Member[]> {
    const records = await this.#resolver.resolveSrv(name).catch((error: unknown) => {
      throw new Error(explain(name, error));
    });
    const best = Math.min(...records.map(({ priority }) => priority));
    const chosen = records.filter((record) => record.priority === best && record.name !== '.');
    const scale = scaleOf(chosen.map(({ weight }) => weight));
    const failures: string[] = [];
    const found = await Promise.all(
      chosen.slice(0, MOST_TARGETS).map(async (record) => {
        const addresses = await this.#addressesOf(record.name, known).catch((error: unknown) => {
          failures.push(messageOf(error));
          return this.#remember(record.name, known);
        });
        const weight = Math.max(1, Math.round(record.weight * scale));
        return addresses.map((address) => memberOf(address, record.port, weight));
      }),
    );
    const members = found.flat();
    if (members.length === 0 && failures[0] !== undefined) throw new Error(failures[0]);
    return members;
  }

  /** @throws when neither family has a fresh address and one of them failed. */
  async #addressesOf(name: string, known: Map<string, readonly string[]>): Promise<readonly string[]> {
    const results = await Promise.allSettled(FAMILIES.map((family) => this.#resolveFamily(name, family)));
    const failed = results.find(({ status }) => status === 'rejected');
    const hasFresh = results.some((result) => result.status === 'fulfilled' && result.value.length > 0);
    if (failed?.status === 'rejected' && !hasFresh) throw new Error(explain(name, failed.reason));
    return FAMILIES.flatMap((family, index) => {
      const result = results[index];
      const addresses =
        result?.status === 'fulfilled' ? result.value : (this.#known.get(keyOf(name, family)) ?? []);
      known.set(keyOf(name, family), addresses);
      return addresses;
    });
  }

  /** The addresses that a name had last. */
  #remember(name: string, known: Map<string, readonly string[]>): readonly string[] {
    return FAMILIES.flatMap((family) => {
      const addresses = this.#known.get(keyOf(name, family)) ?? [];
      known.set(keyOf(name, family), addresses);
      return addresses;
    });
  }

  async #resolveFamily(name: string, family: Family): Promise<readonly string[]> {
    try {
      return await (family === 4 ? this.#resolver.resolve4(name) : this.#resolver.resolve6(name));
    } catch (error) {
      if (NO_SUCH_RECORD.has(codeOf(error))) return [];
      throw error;
    }
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

function explain(name: string, error: unknown): string {
  const code = codeOf(error);
  if (NO_SUCH_RECORD.has(code)) return `${name} has no such records`;
  if (code === 'ETIMEOUT') return `no server answers for ${name}`;
  if (code === 'ESERVFAIL') return `the server could not look up ${name} (SERVFAIL)`;
  if (code === 'ECONNREFUSED') return `no DNS server can be reached for ${name}`;
  return `looking up ${name} failed: ${messageOf(error)}`;
}

/**
 * By what the weights of SRV records are multiplied to be ours. Those above ours are scaled down together. 0 means "a very
 * small chance" (RFC 2782): ours begin at 1, so the others are made heavy beside it, as far as ours go.
 */
function scaleOf(weights: readonly number[]): number {
  const weighty = weights.filter((weight) => weight > 0);
  const heaviest = Math.max(...weighty, 1);
  if (heaviest > MOST_WEIGHT) return MOST_WEIGHT / heaviest;
  if (weighty.length === 0 || weighty.length === weights.length) return 1;
  return Math.min(Math.ceil(LEAST_BESIDE_ZERO / Math.min(...weighty)), Math.floor(MOST_WEIGHT / heaviest));
}
