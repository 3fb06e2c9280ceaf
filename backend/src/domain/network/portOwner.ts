/**
 * To which users of this machine a port may belong. A port that an instance has given up can be taken by any user: whichever process
 * listens there next gets the requests, cookies included, of a gateway that has not heard of it yet.
 */

/** Of the port of an instance on this machine. */
export interface PortOwner {
  /** The instance; where its port's holder is looked for first. Its parent is PM2's daemon, which listens for a cluster. */
  readonly pid: number;
  /** Users whose processes may listen there: the instance's and the supervisor's. root may always. */
  readonly userIds: readonly number[];
}

/** A row of the kernel's list of listening sockets. */
export interface ListeningRow {
  /** As people write it: `127.0.0.1`, `::`. */
  readonly address: string;
  readonly userId: number;
  /** Names the socket, for as long as it exists. */
  readonly inode: string;
}

const ROOT = 0;

/**
 * Those of `rows` (all on one port) that the kernel gives a connection to `host`: a socket that is bound to that very
 * address, else one that is bound to every address of its family, else one for both families.
 */
export function listenersFor(host: string, rows: readonly ListeningRow[]): readonly ListeningRow[] {
  const isV6 = host.includes(':');
  const tiers = isV6 ? [[host], ['::']] : [[host, `::ffff:${host}`], ['0.0.0.0'], ['::']];
  for (const addresses of tiers) {
    const found = rows.filter(({ address }) => addresses.includes(address));
    if (found.length > 0) return found;
  }
  return [];
}

/** Of a user that is not one of `owner`; null: there is none. */
export function strangerAmong(rows: readonly ListeningRow[], { userIds }: PortOwner): ListeningRow | null {
  return rows.find(({ userId }) => userId !== ROOT && !userIds.includes(userId)) ?? null;
}

export function sameOwner(a: PortOwner | undefined, b: PortOwner | undefined): boolean {
  return a?.pid === b?.pid && a?.userIds.join() === b?.userIds.join();
}
