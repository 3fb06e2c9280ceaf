/**
 * Files in the data folder that outlive their process. One that is there is waited for at the start, however long its disk
 * takes, and that is said at once: on stderr, because the log may lie on the same disk, and in the log.
 */
import { join } from 'node:path';
import { FileStateStore } from './adapters/state/fileStateStore.js';
import type { Logger } from './ports.js';
import type { EventLog } from './services/events/eventLog.js';

/** @param onWaiting told once, at the first word of it. */
export function stateFile(
  path: string,
  logger: Logger,
  onWaiting?: (problem: string) => void,
): FileStateStore {
  let isTold = false;
  return new FileStateStore(path, {
    onWaiting: (waitedMs) => {
      const problem =
        `The disk has not answered for ${Math.round(waitedMs / 1000)} s, and ${path} cannot be read. It is waited for: ` +
        `what it holds would be lost otherwise. Mend or remount the disk, and restart this process if it does not go on then.`;
      process.stderr.write(`${problem}\n`);
      logger.error('a file is waited for', { problem });
      if (!isTold) onWaiting?.(problem);
      isTold = true;
    },
  });
}

/** What the supervisor remembers. */
export function supervisorState(dataDir: string, logger: Logger, events: EventLog): FileStateStore {
  const tell = (problem: string): void => void events.emit('state.awaited', { problem });
  return stateFile(join(dataDir, 'supervisor-state.json'), logger, tell);
}
