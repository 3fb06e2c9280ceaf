/**
 * Who listens on a port, for messages that name the culprit. /proc/net/tcp and tcp6 give the inode of a listening
 * socket, /proc/<pid>/fd says whose it is. Linux only; another user's process is found only by root.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';

const LISTEN = '0A';

/**
 * "pid 4711 (node server.js)" for whatever listens on the TCP port `port` of any local address; null when nothing
 * does, when it may not be seen, or where there is no /proc. Never rejects. Takes tens of milliseconds.
 */
export async function describePortHolder(port: number): Promise<string | null> {
  const inodes = await listeningInodes(port);
  if (inodes.size === 0) return null;
  const pid = await ownerOf(inodes);
  if (pid === null) return null;
  const command = await commandOf(pid);
  return command === '' ? `pid ${pid}` : `pid ${pid} (${command})`;
}

async function listeningInodes(port: number): Promise<ReadonlySet<string>> {
  const inodes = new Set<string>();
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'latin1').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === LISTEN && local?.endsWith(`:${wanted}`) && inode !== undefined) inodes.add(inode);
    }
  }
  return inodes;
}

async function ownerOf(inodes: ReadonlySet<string>): Promise<number | null> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode !== undefined && inodes.has(inode)) return Number(pid);
    }
  }
  return null;
}

/** Its command line, cut to 80 characters. Arguments may hold anything, so control characters go. */
async function commandOf(pid: number): Promise<string> {
  const raw = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  // eslint-disable-next-line no-control-regex
  const text = raw.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').trim();
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
