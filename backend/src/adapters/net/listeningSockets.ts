/**
 * Which sockets listen, and which process holds them: /proc/net/tcp and tcp6 give the address and the inode of each,
 * /proc/<pid>/fd the inodes of a process. Linux only; another user's processes are seen only by root.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { readProcStat } from '../../lib/processIdentity.js';

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
const LISTEN = '0A';
const MOST_GENERATIONS = 100;
const MAPPED = '0000000000000000FFFF0000';

export interface ListeningSocket {
  readonly address: string;
  readonly port: number;
  readonly inode: string;
}

/** All of this machine; null where there is no /proc/net. Never rejects. */
export async function listeningSockets(): Promise<readonly ListeningSocket[] | null> {
  const texts = await Promise.all(TABLES.map((table) => readFile(table, 'latin1').catch(() => null)));
  if (texts.every((text) => text === null)) return null;
  return texts.flatMap((text) => (text ?? '').split('\n').slice(1).flatMap(parseLine));
}

/** `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode` (proc_pid_net(5)). */
function parseLine(line: string): ListeningSocket[] {
  const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
  const [address = '', port = ''] = local.split(':');
  if (state !== LISTEN || inode === undefined) return [];
  return [{ address: parseAddress(address), port: Number.parseInt(port, 16), inode }];
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

/** Inodes of the sockets that a process holds; none when it is gone or may not be looked at. */
export async function socketsOf(pid: number): Promise<ReadonlySet<string>> {
  const inodes = new Set<string>();
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const descriptor of descriptors) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
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
