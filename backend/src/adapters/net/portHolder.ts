/** Which process listens on a port, for messages that name it. Linux only; another user's process is found only by root. */
import { readFile } from 'node:fs/promises';
import { allPids, listeningSockets, socketsOf } from './listeningSockets.js';

export interface PortHolderProcess {
  /** null: it belongs to another user, and cannot be looked at. */
  readonly pid: number | null;
  readonly userId: number;
  /** "pid 4711 (node server.js)". */
  readonly text: string;
}

/**
 * The process that listens on the TCP port `port` of any local address; null when there is none, when it may not be
 * seen, or where there is no /proc. Never rejects. Takes tens of milliseconds.
 * @param family processes whose sockets do not count.
 */
export async function portHolder(
  port: number,
  family: ReadonlySet<number> = new Set(),
): Promise<PortHolderProcess | null> {
  const sockets = ((await listeningSockets()) ?? []).filter((socket) => socket.port === port);
  const users = new Map(sockets.map(({ inode, userId }) => [inode, userId]));
  for (const pid of users.size === 0 ? [] : family)
    for (const inode of await socketsOf(pid)) users.delete(inode);
  if (users.size === 0) return null;
  for (const pid of await allPids()) {
    for (const inode of await socketsOf(pid)) {
      const userId = users.get(inode);
      if (userId !== undefined) return { pid, userId, text: await processText(pid) };
    }
  }
  const userId = [...users.values()].find((user) => user !== process.getuid?.());
  return userId === undefined
    ? null
    : { pid: null, userId, text: `a process of another user (uid ${userId})` };
}

/** The text of that process alone. */
export async function describePortHolder(port: number): Promise<string | null> {
  return (await portHolder(port))?.text ?? null;
}

/** The TCP ports that the process listens on; none where that may not be seen. Never rejects. */
export async function listeningPorts(pid: number): Promise<ReadonlySet<number>> {
  const own = new Set(await socketsOf(pid));
  const sockets = (await listeningSockets()) ?? [];
  return new Set(sockets.filter(({ inode }) => own.has(inode)).map(({ port }) => port));
}

/** "pid 4711 (node server.js)". */
async function processText(pid: number): Promise<string> {
  const command = await commandOf(pid);
  return command === '' ? `pid ${pid}` : `pid ${pid} (${command})`;
}

/** Its command line, cut to 80 characters. Arguments may hold anything, so control characters go. */
async function commandOf(pid: number): Promise<string> {
  const raw = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  // eslint-disable-next-line no-control-regex
  const text = raw.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').trim();
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
