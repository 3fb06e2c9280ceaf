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
 * - A stop or restart by hand announces the same exit twice: the second one is dropped.
 * Everything an application prints passes by here too; it is skipped without being parsed.
 */
import { connect, type Socket } from 'node:net';
import { fullJitterMs } from '../../lib/backoff.js';
import { Emitter } from '../../lib/emitter.js';
import { decodeArgument, FrameSplitter } from './frames.js';

interface BusExit {
  readonly service: string;
  readonly pmId: number;
  /** `pm_uptime` of the process that ended. */
  readonly startedAtMs: number;
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** PM2 was ending it on request. */
  readonly asked: boolean;
}

interface BusEvents {
  exit: BusExit;
  online: { service: string; pmId: number };
}

const RECONNECT = { baseMs: 100, capMs: 2_000 };
/** Longer than any sane log line; a longer frame costs a reconnection. */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;
/** Exits remembered, to know a repeated one. */
const MAX_REMEMBERED = 1_024;

const EXIT_LINE = /^App \[(.*):(\d+)\] exited with code \[(-?\d+)\] via signal \[(\w+)\]/;

/** Pure: frames in, exits and onlines out. */
export class BusDecoder {
  readonly #lines = new Map<number, { exitCode: number; signal: string }>();
  readonly #lastExit = new Map<number, number>();

  decode(frame: readonly Buffer[]): { exit: BusExit } | { online: BusEvents['online'] } | null {
    const [name, payload] = frame;
    if (name === undefined || payload === undefined) return null;
    const event = name.toString('latin1');
    if (event === 's:log:PM2') this.#rememberLine(decodeArgument(payload));
    if (event === 's:process:event') return this.#processEvent(decodeArgument(payload));
    return null;
  }

  #rememberLine(payload: unknown): void {
    // Only the daemon itself has this id: an application may send a message of the same type.
    if (!isObject(payload) || !isObject(payload['process'])) return;
    if (payload['process']['pm_id'] !== 'PM2' || typeof payload['data'] !== 'string') return;
    const match = EXIT_LINE.exec(payload['data']);
    if (match === null) return;
    setBounded(this.#lines, Number(match[2]), { exitCode: Number(match[3]), signal: match[4] ?? '' });
  }

  #processEvent(payload: unknown): { exit: BusExit } | { online: BusEvents['online'] } | null {
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
    if (this.#lastExit.get(pmId) === startedAtMs) return null;
    setBounded(this.#lastExit, pmId, startedAtMs);

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
        asked: status === 'stopping',
      },
    };
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
