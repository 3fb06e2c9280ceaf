/**
 * The agent's connection to its supervisor, which may not be there yet, may go, and may come again as another version.
 *
 *   waiting ──(pause over, a socket of ours is there)──▶ connecting ──▶ greeting ──welcome──▶ talking
 *      ▲                                                     │              │                    │
 *      └─────────────── closed, refused, silent for 5 s, a line too long ◀──┴────────────────────┘
 *
 * The pause doubles from 100 ms to 5 s, by half at random, so that the agents of a machine do not come back all at once;
 * after a conversation of more than a second it begins anew. A path that is absent, no socket, or somebody else's costs
 * one look per pause.
 *
 * What is sent while nobody listens: figures are dropped and counted, the next ones are a moment away. A hang, its
 * recovery, a farewell and what is attached to them wait, the oldest giving way, within MOST_WAITING and MOST_BYTES. A
 * supervisor that stops reading gets no figures either while more than MOST_UNREAD_BYTES wait in the socket.
 */
import { stat } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { nowMs } from './clock.js';
import { MAX_LINE_BYTES, PROTOCOL } from './limits.js';
import type { AgentMessage, Figures, Hello, Welcome } from './protocol.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const WELCOME_TIMEOUT_MS = 5_000;
const MOST_WAITING = 16;
const MOST_BYTES = 2 * MAX_LINE_BYTES;
const MOST_UNREAD_BYTES = 64 * 1024;
/** Of one line from the supervisor: a welcome has a hundred bytes. */
const MOST_HEARD_BYTES = 64 * 1024;

type State =
  | { readonly kind: 'waiting' | 'closed' }
  | { readonly kind: 'connecting' | 'greeting'; readonly socket: Socket }
  | { readonly kind: 'talking'; readonly socket: Socket; readonly sinceMs: number };

export interface TransportOptions {
  readonly path: string;
  readonly hello: Hello;
  /** The supervisor's settings: at the beginning of every conversation, and when they changed. */
  readonly onWelcome: (welcome: Welcome) => void;
  /** 0 to 1. Default Math.random. */
  readonly random?: () => number;
}

export class Transport {
  readonly #options: TransportOptions;
  #state: State = { kind: 'waiting' };
  #attempts = 0;
  #pausing: NodeJS.Timeout | undefined;
  #heard = '';
  #waiting: string[] = [];
  #waitingBytes = 0;
  #dropped = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get isTalking(): boolean {
    return this.#state.kind === 'talking';
  }

  /** Messages that were not sent, and lines that were not understood. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Begins to look for the supervisor; it goes on for the life of the thread. */
  start(): void {
    this.#look();
  }

  /** Stays silent from now on. */
  close(): void {
    const { socket } = { socket: null, ...this.#state };
    this.#state = { kind: 'closed' };
    clearTimeout(this.#pausing);
    socket?.destroy();
  }

  /** Sends at once or not at all. */
  offer(figures: Figures): void {
    if (this.#state.kind === 'talking' && this.#state.socket.writableLength < MOST_UNREAD_BYTES) {
      this.#state.socket.write(`${JSON.stringify(figures)}\n`);
    } else {
      this.#dropped += 1;
    }
  }

  /** Sends at once or when somebody listens. */
  send(message: Exclude<AgentMessage, Hello | Figures>): void {
    const line = `${JSON.stringify(message)}\n`;
    const bytes = Buffer.byteLength(line);
    if (bytes > MAX_LINE_BYTES) {
      this.#dropped += 1;
      return;
    }
    if (this.#state.kind === 'talking' && this.#state.socket.writableLength + bytes <= MOST_BYTES) {
      this.#state.socket.write(line);
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    while (this.#waiting.length > MOST_WAITING || this.#waitingBytes > MOST_BYTES) this.#dropOldest();
  }

  #dropOldest(): void {
    const line = this.#waiting.shift();
    if (line === undefined) return;
    this.#waitingBytes -= Buffer.byteLength(line);
    this.#dropped += 1;
  }

  #look(): void {
    if (this.#state.kind === 'closed') return;
    stat(this.#options.path, (error, found) => {
      if (this.#state.kind === 'closed') return;
      // Another user's socket might be anybody's; root's is the system's.
      const isOurs = error === null && found.isSocket() && [0, process.getuid?.()].includes(found.uid);
      if (isOurs) this.#connect();
      else this.#pause();
    });
  }

  #connect(): void {
    const socket = connect({ path: this.#options.path });
    this.#state = { kind: 'connecting', socket };
    this.#heard = '';
    socket.setEncoding('utf8');
    socket.setTimeout(WELCOME_TIMEOUT_MS, () => socket.destroy());
    socket.on('connect', () => {
      this.#state = { kind: 'greeting', socket };
      socket.write(`${JSON.stringify(this.#options.hello)}\n`);
    });
    socket.on('data', (text: string) => this.#hear(socket, text));
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => this.#closed());
  }

  #closed(): void {
    const wasGood = this.#state.kind === 'talking' && nowMs() - this.#state.sinceMs > 1_000;
    if (wasGood) this.#attempts = 0;
    this.#heard = '';
    this.#pause();
  }

  #pause(): void {
    if (this.#state.kind === 'closed') return;
    this.#state = { kind: 'waiting' };
    const { random = Math.random } = this.#options;
    const longestMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#attempts, 10));
    this.#attempts += 1;
    this.#pausing = setTimeout(() => this.#look(), longestMs * (0.5 + random() / 2));
  }

  #hear(socket: Socket, text: string): void {
    this.#heard += text;
    const lines = this.#heard.split('\n');
    this.#heard = lines.pop() ?? '';
    for (const line of lines) this.#understand(socket, line);
    if (this.#heard.length > MOST_HEARD_BYTES) {
      this.#dropped += 1;
      socket.destroy();
    }
  }

  #understand(socket: Socket, line: string): void {
    const message = parse(line);
    if (message === null) {
      this.#dropped += 1;
      return;
    }
    if (message['type'] !== 'welcome') return; // of a later version, perhaps
    if (!isWelcome(message)) {
      this.#dropped += 1;
      socket.destroy();
      return;
    }
    this.#options.onWelcome(message);
    if (this.#state.kind === 'talking') return;
    socket.setTimeout(0);
    this.#state = { kind: 'talking', socket, sinceMs: nowMs() };
    for (const waiting of this.#waiting) socket.write(waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const message: unknown = JSON.parse(line);
    return typeof message === 'object' && message !== null ? (message as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Whatever listens there might not be a supervisor, and no number of its may turn the agent against its host. */
function isWelcome(message: Record<string, unknown>): message is Record<string, unknown> & Welcome {
  const { protocol, hangTimeoutMs, intervalMs, killTimeoutMs } = message;
  return (
    protocol === PROTOCOL &&
    isWithin(hangTimeoutMs, 100, 3_600_000) &&
    isWithin(intervalMs, 50, 60_000) &&
    isWithin(killTimeoutMs, 100, 86_400_000)
  );
}

function isWithin(value: unknown, least: number, most: number): boolean {
  return typeof value === 'number' && value >= least && value <= most;
}
