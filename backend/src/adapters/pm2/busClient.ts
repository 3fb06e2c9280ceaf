/**
 * PM2's event bus, `$PM2_HOME/pub.sock`: every frame is `[event, data]`, sent to whoever listens.
 *
 * An exit arrives in two pieces, written by the daemon one right after the other: a line of its own log,
 *   log:PM2        "App [name:3] exited with code [0] via signal [SIGKILL]"
 *   process:event  {event:'exit', process:{pm_id:3, pm_uptime:…, exit_code:0}}
 * Only the line has the signal, only the event has the start time; they are put together here. What to know:
 * - Where there was no signal the line says SIGINT, so SIGINT tells nothing and is reported as none.
 * - With a signal, PM2 writes code 0 for "none": reported as null.
 * - A process that is ended on request has the status `stopping` in it; one that ends by itself has `stopped`.
 * - A stop or restart by hand announces the same exit twice: the second one is dropped. Where the first was not asked for,
 *   the second is the stop by hand of what PM2 was to start again later (`restart_delay`).
 * PM2 announces a restart of its own by a line of its log alone, some milliseconds before: for a change of a file (`watch`),
 * which restarts every process of that name, and for memory (`max_memory_restart`).
 * Everything an application prints passes by here too; it is skipped without being parsed.
 */
import { connect, type Socket } from 'node:net';
import { fullJitterMs } from '../../lib/backoff.js';
import { Emitter } from '../../lib/emitter.js';
import type { EndRules } from '../../domain/model.js';
import type { RestartCause } from '../../domain/failures/restarts.js';
import { decodeArgument, FrameSplitter } from './frames.js';
import { applicationOf, type Application } from './identity.js';
import type { ProcessManagerEvents } from '../../ports.js';
import { endRulesOf, type ProcessRow } from './processRow.js';

interface BusExit {
  readonly service: string;
  readonly pmId: number;
  /** `pm_uptime` of the process that ended. */
  readonly startedAtMs: number;
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** PM2 was ending it on request. */
  readonly asked: boolean;
  readonly endRules: EndRules;
  readonly application: Application;
}

interface BusEvents {
  exit: BusExit;
  /** What had ended, and was to be started again later, is not: it was stopped by hand. */
  stopped: { service: string; pmId: number; startedAtMs: number; application: Application };
  online: { service: string; pmId: number };
  /** PM2 is about to restart that one, or all of that name, by itself. */
  restarting: { about: { pmId: number } | { name: string }; cause: RestartCause };
}

const RECONNECT = { baseMs: 100, capMs: 2_000 };
/** Longer than any sane log line; a longer frame costs a reconnection. */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;
/** Exits remembered, to know a repeated one. */
const MAX_REMEMBERED = 1_024;

const WATCH_LINE = /^Change detected on path (.*) for app (.*) - restarting$/s;
const MEMORY_LINE =
  /Process (\d+) restarted because it exceeds --max-memory-restart value \(current_memory=(\d+) max_memory_limit=(\d+)/;
const EXIT_LINE = /^App \[(.*):(\d+)\] exited with code \[(-?\d+)\] via signal \[(\w+)\]/;

type Decoded = { [K in keyof BusEvents]: { readonly [E in K]: BusEvents[K] } }[keyof BusEvents];

/** Pure: frames in, exits, stops and onlines out. */
export class BusDecoder {
  readonly #lines = new Map<number, { exitCode: number; signal: string }>();
  readonly #lastExit = new Map<number, { readonly startedAtMs: number; readonly asked: boolean }>();

  decode(frame: readonly Buffer[]): Decoded | null {
    const [name, payload] = frame;
    if (name === undefined || payload === undefined) return null;
    const event = name.toString('latin1');
    if (event === 's:log:PM2') return this.#readLine(decodeArgument(payload));
    if (event === 's:process:event') return this.#processEvent(decodeArgument(payload));
    return null;
  }

  #readLine(payload: unknown): Decoded | null {
    // Only the daemon itself has this id: an application may send a message of the same type.
    if (!isObject(payload) || !isObject(payload['process'])) return null;
    const { data } = payload;
    if (payload['process']['pm_id'] !== 'PM2' || typeof data !== 'string') return null;
    const match = EXIT_LINE.exec(data);
    if (match === null) return readRestart(data.trim());
    setBounded(this.#lines, Number(match[2]), { exitCode: Number(match[3]), signal: match[4] ?? '' });
    return null;
  }

  #processEvent(payload: unknown): Decoded | null {
    if (!isObject(payload) || !isObject(payload['process'])) return null;
    const {
      name: service,
      pm_id: pmId,
      pm_uptime: startedAtMs,
      exit_code: code,
      status,
    } = payload['process'];
    if (typeof service !== 'string' || typeof pmId !== 'number') return null;
    if (payload['event'] === 'online') return { online: { service, pmId } };
    if (payload['event'] !== 'exit' || typeof startedAtMs !== 'number') return null;
    const application = applicationOf(payload['process']);
    const last = this.#lastExit.get(pmId);
    if (last?.startedAtMs === startedAtMs) {
      const isStop = !last.asked && status === 'stopped';
      return isStop ? { stopped: { service, pmId, startedAtMs, application } } : null;
    }
    const asked = status === 'stopping';
    setBounded(this.#lastExit, pmId, { startedAtMs, asked });

    const line = this.#lines.get(pmId);
    this.#lines.delete(pmId);
    const signal = line === undefined || line.signal === 'SIGINT' ? null : line.signal;
    const exitCode = line?.exitCode ?? (typeof code === 'number' ? code : null);
    return {
      exit: {
        service,
        pmId,
        startedAtMs,
        exitCode: signal === null ? exitCode : null,
        signal,
        asked,
        endRules: endRulesOf(payload['process']),
        application,
      },
    };
  }
}

function readRestart(line: string): Decoded | null {
  const watch = WATCH_LINE.exec(line);
  if (watch !== null)
    return {
      restarting: { about: { name: watch[2] ?? '' }, cause: { by: 'watch', path: watch[1] ?? '' } },
    };
  const memory = MEMORY_LINE.exec(line);
  if (memory === null) return null;
  const [pmId = 0, memoryBytes = 0, limitBytes = 0] = memory.slice(1).map(Number);
  return { restarting: { about: { pmId }, cause: { by: 'memory', memoryBytes, limitBytes } } };
}

/** Names each of the listed processes that PM2 is about to restart. */
export function tellRestarting(
  { about, cause }: BusEvents['restarting'],
  rows: readonly ProcessRow[],
  events: Pick<Emitter<ProcessManagerEvents>, 'emit'>,
): void {
  for (const { process, record } of rows) {
    const { service, pmId } = process;
    const isMeant = 'pmId' in about ? about.pmId === pmId : about.name === record['name'];
    if (isMeant) events.emit('restarting', { service, pmId, cause });
  }
}

/** Stays connected to the bus, with backoff, until it is closed. Never throws. */
export class BusClient extends Emitter<BusEvents> {
  readonly #socketPath: string;
  #socket: Socket | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failedAttempts = 0;
  #closed = false;

  constructor(socketPath: string) {
    super();
    this.#socketPath = socketPath;
  }

  /** Connects now unless it is connected or connecting. Idempotent. */
  open(): void {
    if (this.#closed || this.#socket !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const socket = connect(this.#socketPath);
    this.#socket = socket;
    const splitter = new FrameSplitter(MAX_FRAME_BYTES);
    const decoder = new BusDecoder();
    socket.on('error', () => undefined); // 'close' follows, and is what matters
    socket.once('connect', () => {
      this.#failedAttempts = 0;
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of splitter.push(chunk)) this.#deliver(decoder.decode(frame));
      } catch {
        socket.destroy(); // not PM2's protocol, or a frame beyond the limit: start over
      }
    });
    socket.once('close', () => {
      this.#socket = null;
      if (this.#closed) return;
      const delayMs = 20 + fullJitterMs(this.#failedAttempts, RECONNECT, Math.random);
      this.#failedAttempts += 1;
      this.#timer = setTimeout(() => this.open(), delayMs);
      this.#timer.unref();
    });
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #deliver(decoded: ReturnType<BusDecoder['decode']>): void {
    if (decoded === null) return;
    if ('exit' in decoded) this.emit('exit', decoded.exit);
    else if ('restarting' in decoded) this.emit('restarting', decoded.restarting);
    else if ('stopped' in decoded) this.emit('stopped', decoded.stopped);
    else this.emit('online', decoded.online);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function setBounded<V>(map: Map<number, V>, key: number, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value as number);
}
