/**
 * Which port a new instance gets: the lowest of the service's range that no listed instance has, that no start
 * under way has been promised, and that is really free on this host. PM2's own way (highest + 1) drifts upward and
 * gives concurrent starts the same one.
 */
import { createServer } from 'node:net';
import { HoldfastError } from '../../domain/errors.js';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Lowest port of the range that is in none of the sets; null when there is none. */
export function choosePort(range: PortRange, ...excluded: readonly ReadonlySet<number>[]): number | null {
  for (let port = range.first; port <= range.last; port += 1) {
    if (!excluded.some((set) => set.has(port))) return port;
  }
  return null;
}

export interface PortAllocatorOptions {
  /** Who holds a port, for messages. */
  readonly describeHolder: (port: number) => Promise<string | null>;
  /** Told once per holder when a port of a range turns out to be taken by a process that is no listed instance. */
  readonly onOccupied: (occupied: { service: string; port: number; by: string }) => void;
}

export interface PortLease {
  readonly port: number;
  /** Ends the reservation: the instance is listed now, or was never started. */
  release(): void;
}

const UNKNOWN_HOLDER = 'a process that cannot be identified';

export class PortAllocator {
  readonly #options: PortAllocatorOptions;
  readonly #reserved = new Set<number>();
  /** Port → holder as last told. Bounded by the ranges. */
  readonly #told = new Map<number, string>();

  constructor(options: PortAllocatorOptions) {
    this.#options = options;
  }

  /**
   * Reserves a port of `range` for `service`; `listed` are the ports of every listed instance, and those of `avoid` are only
   * taken where no other is free.
   * Rejects with `port.none-free`, naming the range and who holds what.
   */
  async allocate(
    service: string,
    range: PortRange,
    listed: ReadonlySet<number>,
    avoid: ReadonlySet<number> = new Set(),
  ): Promise<PortLease> {
    const occupied = new Set<number>();
    for (;;) {
      const excluded = [listed, this.#reserved, occupied];
      const port = choosePort(range, ...excluded, avoid) ?? choosePort(range, ...excluded);
      if (port === null) throw await this.#noneFree(service, range, listed, occupied);
      this.#reserved.add(port);
      if (await isFreeOnHost(port)) {
        this.#told.delete(port);
        return { port, release: () => void this.#reserved.delete(port) };
      }
      this.#reserved.delete(port);
      occupied.add(port);
      void this.#tell(service, port);
    }
  }

  /** Looking for the holder takes a while and nobody has to wait for it. */
  async #tell(service: string, port: number): Promise<void> {
    const by = (await this.#options.describeHolder(port)) ?? UNKNOWN_HOLDER;
    if (this.#told.get(port) === by) return;
    this.#told.set(port, by);
    this.#options.onOccupied({ service, port, by });
  }

  async #noneFree(
    service: string,
    range: PortRange,
    listed: ReadonlySet<number>,
    occupied: ReadonlySet<number>,
  ): Promise<HoldfastError> {
    const holders: string[] = [];
    for (const port of [...occupied].slice(0, 5)) {
      holders.push(`${port} by ${(await this.#options.describeHolder(port)) ?? UNKNOWN_HOLDER}`);
    }
    const own = [...listed].filter((port) => port >= range.first && port <= range.last).length;
    const more = occupied.size > holders.length ? ` and ${occupied.size - holders.length} more` : '';
    const others = holders.length === 0 ? '' : `; taken by others: ${holders.join(', ')}${more}`;
    return new HoldfastError(
      'port.none-free',
      `No free port for ${service} in ${range.first}–${range.last}: ${own} used by instances${others}. Widen the range or free a port.`,
      { status: 503, retryable: true, details: { service, ...range } },
    );
  }
}

/** Whether a server could listen on `port` on every address, IPv4 and IPv6. */
export async function isFreeOnHost(port: number): Promise<boolean> {
  return (await canListen(port, '0.0.0.0')) && (await canListen(port, '::'));
}

function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      // Without IPv6 on this host, nobody can be in the way there.
      resolve(error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL');
    });
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
