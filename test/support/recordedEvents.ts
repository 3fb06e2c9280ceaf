/** An event log whose events a test can read, on whatever clock it likes. */
import type { EventRecord, EventType } from '../../backend/src/domain/events.js';
import type { Clock, Logger } from '../../backend/src/ports.js';
import { EventLog } from '../../backend/src/services/events/eventLog.js';

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export interface RecordedEvents {
  readonly log: EventLog;
  readonly all: readonly EventRecord[];
  of<T extends EventType>(type: T): readonly EventRecord[];
}

export function recordedEvents(clock: Clock): RecordedEvents {
  const all: EventRecord[] = [];
  const history = {
    append: (event: EventRecord) => void all.push(event),
    query: () => all,
    dropped: () => 0,
    close: () => Promise.resolve(),
  };
  const log = new EventLog({ clock, history, notifiers: [], logger: silentLogger });
  return { log, all, of: (type) => all.filter((event) => event.type === type) };
}
