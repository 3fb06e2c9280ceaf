/**
 * Whether what listens on a port of this machine belongs to the users to whom it should belong. Linux; elsewhere, and
 * where /proc may not be read, it is not known.
 *
 * Asked after every new connection to an instance, so it must be cheap. The kernel's list of sockets (/proc/net/tcp) is
 * not: a look takes about a millisecond, because the kernel walks through all of its tables. So it is read when a port
 * is new or its listener has changed. It names the socket, by its inode; then the process and the descriptor are looked
 * for that hold it (`/proc/<pid>/fd/<fd>` is a link to `socket:[<inode>]`), and from then on that link is read, which
 * takes some microseconds: while the descriptor is that socket, nothing else can listen there.
 */
import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import {
  listenersFor,
  strangerAmong,
  type ListeningRow,
  type PortOwner,
} from '../../domain/network/portOwner.js';
import { readProcStat } from '../../lib/processIdentity.js';
import type { PortOwners, PortVerdict } from '../../ports.js';
import { allPids, heldSockets, parseAddress, socketText, type HeldSocket } from './listeningSockets.js';
import { parseTcpRow, TCP_TABLES } from './tcpTable.js';

const LISTEN = '0A';
/** Of ports that are asked about; more than a gateway may have upstreams. */
const MOST_KEPT = 8_192;
const CHUNK_BYTES = 65_536;

/** What is known of one port. */
interface Known {
  /** Sockets that listened there at the last look. */
  inodes: ReadonlySet<string>;
  /** Where a process holds the only one; null: not found, or not yet. */
  held: HeldSocket | null;
}

type PortRow = ListeningRow & { readonly port: number };

class LinuxPortOwners implements PortOwners {
  readonly #known = new Map<string, Known>();
  /** The list as it was read in this turn of the event loop. */
  #rows: readonly PortRow[] | null = null;

  check(host: string, port: number, owner: PortOwner): PortVerdict {
    const key = `${host} ${port}`;
    const known = this.#known.get(key);
    const held = known?.held ?? null;
    if (held !== null && linkText(held.link) === socketText(held.inode)) return 'same';
    if (known !== undefined) known.held = null;
    const rows = this.#look();
    if (rows === null) return 'unknown';
    const found = listenersFor(
      host,
      rows.filter((row) => row.port === port),
    );
    const stranger = strangerAmong(found, owner);
    if (stranger !== null) {
      this.#known.delete(key);
      return { userId: stranger.userId };
    }
    const inodes = new Set(found.map(({ inode }) => inode));
    if (known !== undefined && inodes.size > 0 && [...inodes].every((inode) => known.inodes.has(inode)))
      return 'same';
    this.#remember(key, inodes, owner);
    return 'new';
  }

  /** Whether anything listens on that port, on any address; false where that is not known. Takes about a millisecond. */
  isListening(port: number): boolean {
    return this.#look()?.some((row) => row.port === port) ?? false;
  }

  #remember(key: string, inodes: ReadonlySet<string>, owner: PortOwner): void {
    const known: Known = { inodes, held: null };
    this.#known.delete(key);
    this.#known.set(key, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MOST_KEPT && oldest !== undefined) this.#known.delete(oldest);
    const [inode] = inodes;
    // Several share the port: then one of them says nothing of the others.
    if (inode === undefined || inodes.size > 1) return;
    void findHolder(inode, owner).then((held) => (known.held = held));
  }

  /** A look counts for all connections that are there when it begins; those that this turn is about are. */
  #look(): readonly PortRow[] | null {
    if (this.#rows !== null) return this.#rows;
    const rows = readListeners();
    if (rows === null) return null;
    this.#rows = rows;
    setImmediate(() => (this.#rows = null));
    return rows;
  }
}

/** One for the process: what is known of a port is known to all. */
export const portOwners = new LinuxPortOwners();

/** All sockets that listen on this machine; null where there is no list of them. */
function readListeners(): readonly PortRow[] | null {
  const texts = TCP_TABLES.map(readHead);
  if (texts.every((text) => text === null)) return null;
  return texts.flatMap((text) =>
    (text ?? '').split('\n').flatMap((line) =>
      parseTcpRow(line)
        .filter(({ state }) => state === LISTEN)
        .map(({ localAddress, localPort, userId, inode }) => ({
          address: parseAddress(localAddress),
          port: localPort,
          userId,
          inode,
        })),
    ),
  );
}

/** The kernel lists those that listen first (Documentation/networking/proc_net_tcp.rst): the rest is not read. */
function readHead(file: string): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch {
    return null;
  }
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let text = '';
    for (;;) {
      const bytes = readSync(descriptor, buffer, 0, CHUNK_BYTES, null);
      text += buffer.toString('latin1', 0, bytes);
      const lastLine = text.slice(text.lastIndexOf('\n', text.length - 2) + 1);
      const [row] = parseTcpRow(lastLine);
      if (bytes === 0 || (row !== undefined && row.state !== LISTEN)) return text;
    }
  } catch {
    return null;
  } finally {
    closeSync(descriptor);
  }
}

/** Where a process holds that socket; null where none does that may be looked at. Never rejects. */
async function findHolder(inode: string, { pid }: PortOwner): Promise<HeldSocket | null> {
  const parent = readProcStat(pid)?.parentPid ?? 0;
  const likely = [pid, parent].filter((candidate) => candidate > 1);
  return (await heldBy(likely, inode)) ?? heldBy(await allPids(), inode);
}

async function heldBy(pids: readonly number[], inode: string): Promise<HeldSocket | null> {
  for (const pid of pids) {
    for await (const held of heldSockets(pid)) if (held.inode === inode) return held;
  }
  return null;
}

function linkText(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}
