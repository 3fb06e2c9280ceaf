/** As which users an instance runs, and so to which its port must belong. Linux only. */
import { statSync } from 'node:fs';
import type { PortOwner } from '../../domain/network/portOwner.js';
import { withDescendants } from './listeningSockets.js';

/** Of the process alone; null: it is gone, or there is no /proc. */
export function ownerOf(pid: number | null): PortOwner | null {
  return pid === null ? null : ownerOfAll(pid, [pid]);
}

/** Of the process and everything below it. Never rejects. */
export async function ownersOf(pid: number | null): Promise<PortOwner | null> {
  return pid === null ? null : ownerOfAll(pid, await withDescendants(pid));
}

function ownerOfAll(pid: number, pids: Iterable<number>): PortOwner | null {
  const own = process.getuid?.();
  const users = [...pids].flatMap((each) => userOf(each) ?? []);
  if (own === undefined || users.length === 0) return null;
  // In PM2's cluster mode its daemon listens, which runs as we do.
  return { pid, userIds: [...new Set([own, ...users])].sort((a, b) => a - b) };
}

function userOf(pid: number): number | null {
  try {
    return statSync(`/proc/${pid}`).uid;
  } catch {
    return null;
  }
}
