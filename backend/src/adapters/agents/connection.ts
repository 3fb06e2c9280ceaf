/**
 * One connection of an agent, or of whatever connected:
 *
 *   unknown ──hello in time, of our protocol, of a process that lives──▶ known(pid) ──▶ ended
 *      └────────────── anything else ────────────────────────────────────────────────▲
 *
 * Lines that can't be understood are counted and dropped; many of them in a row, one that is too long, or unfinished
 * lines that together need too much memory end the connection. Who talks too fast is not read for a while: its words
 * wait in the kernel's buffer, which is bounded, and then in its own.
 */
import type { Socket } from 'node:net';
import type { AgentSettings } from '../../ports.js';
import { LineSplitter, type LineBudget } from './lineSplitter.js';
import { readMessage, type ArrivalTime, type Hello, type Message } from './messages.js';

/** Why a connection ended, other than by its peer. */
export type Offence =
  | 'no-hello'
  | 'protocol'
  | 'not-a-process'
  | 'nonsense'
  | 'too-long'
  | 'no-room'
  | 'not-reading'
  | 'refused'
  | 'replaced';

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly budget: LineBudget;
  readonly at: () => ArrivalTime;
  /** Calls once after `delayMs`; the returned function cancels. */
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** Judges who it says it is: an offence, or null when it may stay. */
  readonly onHello: (hello: Hello) => Offence | null;
  readonly onMessage: (message: Exclude<Message, { kind: 'hello' | 'bad' | 'unknown' }>) => void;
  /** A line was dropped. */
  readonly onDropped: (problem: string) => void;
  /** Once, whoever ended it. `offence` null: the peer left. */
  readonly onEnd: (offence: Offence | null) => void;
}

export const PROTOCOL = 1;
/** Of a line, once the peer is known. As in the agent's protocol.ts. */
export const MOST_LINE_BYTES = 2 * 1024 * 1024;
const MOST_HELLO_BYTES = 4 * 1024;
const HELLO_TIMEOUT_MS = 5_000;
const MOST_BAD_IN_A_ROW = 20;
/** Ten times what an agent says. What waited while the supervisor was held up comes at once. */
const LINES_PER_SECOND = 100;
const BURST_LINES = 1_000;
const LONGEST_PAUSE_MS = 10_000;
/** Welcomes are small: a peer with so much unread does not read. */
const MOST_UNREAD_BYTES = 64 * 1024;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #lines: LineSplitter;
  #cancelTimer: () => void;
  #hello: Hello | null = null;
  #settings = '';
  #badInARow = 0;
  #lineAllowance = BURST_LINES;
  #allowedAtMs: number;
  #ended = false;

  constructor(options: ConnectionOptions) {
    const { socket, budget, after, at } = options;
    this.#options = options;
    this.#lines = new LineSplitter(budget);
    this.#allowedAtMs = at().nowMs;
    this.#cancelTimer = after(HELLO_TIMEOUT_MS, () => this.end('no-hello'));
    socket.on('data', (chunk) => this.#receive(chunk));
    // What follows an error is `close`.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#finish(null));
  }

  /** Who it is; null before its hello. */
  get hello(): Hello | null {
    return this.#hello;
  }

  /** Sends the settings, unless it has these already. */
  welcome(settings: AgentSettings): void {
    const text = `${JSON.stringify({ type: 'welcome', protocol: PROTOCOL, ...settings })}\n`;
    if (this.#ended || text === this.#settings) return;
    this.#settings = text;
    this.#options.socket.write(text);
    if (this.#options.socket.writableLength > MOST_UNREAD_BYTES) this.end('not-reading');
  }

  end(offence: Offence): void {
    this.#finish(offence);
    this.#options.socket.destroy();
  }

  #finish(offence: Offence | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelTimer();
    this.#lines.clear();
    this.#options.onEnd(offence);
  }

  #receive(chunk: Buffer): void {
    if (this.#ended) return;
    const at = this.#options.at();
    const mostBytes = (): number => (this.#hello === null ? MOST_HELLO_BYTES : MOST_LINE_BYTES);
    const split = this.#lines.push(chunk, mostBytes, (line) => {
      this.#lineAllowance -= 1;
      this.#take(readMessage(line, at));
      return !this.#ended;
    });
    if (split === 'too-long' || split === 'no-room') this.end(split);
    else if (!this.#ended) this.#slowDown(at.nowMs);
  }

  #take(message: Message): void {
    if (message.kind === 'bad') return this.#takeBad(message.problem);
    this.#badInARow = 0;
    if (this.#hello === null) return this.#introduce(message);
    if (message.kind === 'hello') return this.#takeBad('a second hello');
    if (message.kind !== 'unknown') this.#options.onMessage(message);
  }

  #introduce(message: Message): void {
    if (message.kind !== 'hello') return this.end('no-hello');
    // Whatever else another version means by its hello, this much is agreed.
    if (message.hello.protocol !== PROTOCOL) {
      this.#hello = message.hello;
      return this.end('protocol');
    }
    const offence = this.#options.onHello(message.hello);
    if (offence !== null) return this.end(offence);
    this.#cancelTimer();
    this.#hello = message.hello;
  }

  #takeBad(problem: string): void {
    this.#options.onDropped(problem);
    this.#badInARow += 1;
    if (this.#hello === null) this.end('no-hello');
    else if (this.#badInARow >= MOST_BAD_IN_A_ROW) this.end('nonsense');
  }

  /** A token bucket: a line each. */
  #slowDown(nowMs: number): void {
    const { after, socket } = this.#options;
    const earned = ((nowMs - this.#allowedAtMs) / 1_000) * LINES_PER_SECOND;
    this.#allowedAtMs = nowMs;
    this.#lineAllowance = Math.min(BURST_LINES, this.#lineAllowance + earned);
    if (this.#lineAllowance >= 0 || this.#hello === null) return;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, (-this.#lineAllowance / LINES_PER_SECOND) * 1_000);
    socket.pause();
    this.#cancelTimer = after(pauseMs, () => socket.resume());
  }
}
