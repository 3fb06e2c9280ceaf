/**
 * Which sockets listen, and which process holds them: /proc/net/tcp and tcp6 give the address and the inode of each,
 * /proc/<pid>/fd the inodes of a process; /proc/net/unix the same of sockets with a path. Linux only; another user's processes are seen only by root.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { readProcStat } from '../../lib/processIdentity.js';
import { tcpRows } from './tcpTable.js';

const LISTEN = '0A';
const MOST_GENERATIONS = 100;
const MAPPED = '0000000000000000FFFF0000';

export interface ListeningSocket {
  readonly address: string;
  readonly port: number;
  readonly userId: number;
  readonly inode: string;
}

/** All of this machine; null where there is no /proc/net. Never rejects. */
export async function listeningSockets(): Promise<readonly ListeningSocket[] | null> {
  const rows = await tcpRows();
  if (rows === null) return null;
  return rows
    .filter(({ state }) => state === LISTEN)
    .map(({ localAddress, localPort: port, userId, inode }) => ({
      address: parseAddress(localAddress),
      port,
      userId,
      inode,
    }));
}

/** __SO_ACCEPTCON of <linux/net.h>. */
const ACCEPTS_CONNECTIONS = 0x10000;
/** Num RefCount Protocol Flags Type St Inode Path, of a socket that has a path. */
const UNIX_ROW = /^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ ([0-9A-F]+) [0-9A-F]+ [0-9A-F]+ +(\d+) (.+)$/;

/** Unix sockets of this machine on which something listens; none where there is no /proc/net. Never rejects. */
export async function listeningPaths(): Promise<
  readonly { readonly path: string; readonly inode: string }[]
> {
  const text = await readFile('/proc/net/unix', 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [, flags = '', inode = '', path = ''] = UNIX_ROW.exec(line) ?? [];
    return (Number.parseInt(flags, 16) & ACCEPTS_CONNECTIONS) === 0 ? [] : [{ path, inode }];
  });
}

/** Words of 32 bits in the byte order of the machine, which is little-endian wherever Node.js is built for Linux but on s390x. */
export function parseAddress(hex: string): string {
  if (hex.length === 8) return bytesOf(hex).join('.');
  if (hex.startsWith(MAPPED)) return `::ffff:${bytesOf(hex.slice(24)).join('.')}`;
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap(bytesOf);
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
  );
  // The short form: "::1".
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}

function bytesOf(word: string): number[] {
  return (word.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)).reverse();
}

/** A socket that a process holds, and the link in /proc that says so: it reads `socketText(inode)` for as long as that is true. */
export interface HeldSocket {
  readonly link: string;
  readonly inode: string;
}

export const socketText = (inode: string): string => `socket:[${inode}]`;

/** The sockets that a process holds, one after the other; none when it is gone or may not be looked at. */
export async function* heldSockets(pid: number): AsyncGenerator<HeldSocket> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const descriptor of descriptors) {
    const link = `/proc/${pid}/fd/${descriptor}`;
    const inode = /^socket:\[(\d+)\]$/.exec(await readlink(link).catch(() => ''))?.[1];
    if (inode !== undefined) yield { link, inode };
  }
}

/** Inodes of the sockets that a process holds; none when it is gone or may not be looked at. */
export async function socketsOf(pid: number): Promise<ReadonlySet<string>> {
  const inodes = new Set<string>();
  for await (const { inode } of heldSockets(pid)) inodes.add(inode);
  return inodes;
}

export async function allPids(): Promise<number[]> {
  return (await readdir('/proc').catch(() => [])).map(Number).filter(Number.isInteger);
}

/** A process and everything below it. */
export async function withDescendants(pid: number): Promise<ReadonlySet<number>> {
  const parents = new Map<number, number>();
  for (const other of await allPids()) {
    const stat = readProcStat(other);
    if (stat !== null) parents.set(other, stat.parentPid);
  }
  const family = new Set([pid]);
  for (const other of parents.keys()) {
    let above = other;
    for (let steps = 0; above > 1 && above !== pid && steps < MOST_GENERATIONS; steps += 1) {
      above = parents.get(above) ?? 0;
    }
    if (above === pid) family.add(other);
  }
  return family;
}
