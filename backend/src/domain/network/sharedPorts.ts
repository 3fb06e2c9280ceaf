/**
 * Instances that cannot have their port, because another process has it.
 *
 * One port, one instance: of several that have the same port in their environment, at most one can be asked there and be
 * sent traffic. `pm2 reload <file>` gives all instances the file's PORT, for example. The others are _doubles_: a probe of
 * that port would be answered by the one that has it, or in PM2's cluster mode by any of them.
 */
import { isAlive } from '../model.js';
import type { ManagedProcess } from '../model.js';

/** A process that listens on the port of an instance and is no part of it. */
export interface ForeignHolder {
  /** "pid 4711 (node server.js)". */
  readonly by: string;
  /** It belongs neither to the user of the instance, nor to the supervisor's, nor to root. */
  readonly isOtherUser: boolean;
}

/**
 * Whether an instance that ended by itself is to blame for that, though `holder` has its port.
 * @param wasGivenIt Holdfast has just started it on that port, which was free then. What took it since may be a process
 * that the application itself has left behind, as long as it belongs to the same user; so that is charged, and has an end.
 */
export function isToBlame(holder: ForeignHolder, wasGivenIt: boolean): boolean {
  return wasGivenIt && !holder.isOtherUser;
}

export interface PortDouble {
  readonly process: ManagedProcess;
  /** The one that has the port. */
  readonly holder: ManagedProcess;
}

/** The first that was started of those that run has the port: in fork mode the next one cannot listen there. */
export function portDoubles(processes: readonly ManagedProcess[]): readonly PortDouble[] {
  const holders = new Map<number, ManagedProcess>();
  const doubles: PortDouble[] = [];
  for (const process of [...processes].sort(firstStartedFirst)) {
    const { port, status } = process;
    // One that is stopping gives its port back.
    if (port === null || !isAlive(process) || status === 'stopping') continue;
    const holder = holders.get(port);
    if (holder === undefined) holders.set(port, process);
    else doubles.push({ process, holder });
  }
  return doubles;
}

function firstStartedFirst(a: ManagedProcess, b: ManagedProcess): number {
  const waits = ({ pid }: ManagedProcess): number => Number(pid === null);
  return waits(a) - waits(b) || a.startedAtMs - b.startedAtMs || a.pmId - b.pmId;
}
