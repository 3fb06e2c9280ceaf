/**
 * Calls to PM2's daemon over `$PM2_HOME/rpc.sock`.
 *
 * Protocol: a call is a frame `[{type:'call', method, args}, id]`; the answer is `[{args} | {error}, id]`, in any
 * order. PM2's own client has no time-outs and, when the daemon dies, waits for ever; this one is a small state
 * machine around one socket:
 *
 *   idle ──call──▶ connecting ──▶ open ──close, error, garbage──▶ waiting (backoff) ──▶ connecting …
 *
 * - Every call settles: with its answer, at its time-out, or when the socket closes. Nothing throws out of band.
 * - A call made while waiting does not wait for the backoff, it tries to connect at once.
 * - Calls in flight are bounded, *including* those that already timed out here: a stopped daemon still has them
 *   in its socket and will carry them out when it continues, so piling up more is refused.
 */
import { connect, type Socket } from 'node:net';
import { HoldfastError, messageOf } from '../../domain/errors.js';
import { fullJitterMs } from '../../lib/backoff.js';
import { Emitter } from '../../lib/emitter.js';
import { decodeArgument, encodeFrame, FrameSplitter } from './frames.js';

export interface RpcClientOptions {
  readonly socketPath: string;
  /** Time-out of a call that names none. Default 5000 ms. */
  readonly timeoutMs?: number;
  /** Calls that may be unanswered at once. Default 256. */
  readonly maxInFlight?: number;
  /** Longest answer that is accepted. Default 64 MiB: about 5000 processes. */
  readonly maxFrameBytes?: number;
}

interface Pending {
  readonly method: string;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: HoldfastError) => void;
  readonly timer: NodeJS.Timeout;
}

interface RpcEvents {
  /** The socket is open (whether the daemon answers is not known yet). */
  open: Record<string, never>;
  /** An open socket closed. */
  lost: { problem: string };
}

const RECONNECT = { baseMs: 100, capMs: 2_000 };

export class RpcClient extends Emitter<RpcEvents> {
  readonly #socketPath: string;
  readonly #timeoutMs: number;
  readonly #maxInFlight: number;
  readonly #maxFrameBytes: number;
  readonly #pending = new Map<number, Pending>();
  /** Ids that timed out here but may still be answered. */
  readonly #abandoned = new Set<number>();
  #nextId = 1;
  #socket: Socket | null = null;
  #connecting: Promise<Socket> | null = null;
  #reconnectTimer: NodeJS.Timeout | null = null;
  #failedAttempts = 0;
  #closed = false;

  constructor(options: RpcClientOptions) {
    super();
    this.#socketPath = options.socketPath;
    this.#timeoutMs = options.timeoutMs ?? 5_000;
    this.#maxInFlight = options.maxInFlight ?? 256;
    this.#maxFrameBytes = options.maxFrameBytes ?? 64 * 1024 * 1024;
  }

  /**
   * Calls `method` of the daemon and resolves with the first value it answers.
   * Rejects with `pm2.timeout`, `pm2.unreachable`, `pm2.refused` or `pm2.bad-answer`.
   */
  call(method: string, argument: unknown, timeoutMs = this.#timeoutMs): Promise<unknown> {
    if (this.#closed) return Promise.reject(unreachable('the connection was closed by this process'));
    if (this.#pending.size + this.#abandoned.size >= this.#maxInFlight) {
      const problem = `it has not answered ${this.#pending.size + this.#abandoned.size} earlier calls`;
      return Promise.reject(timedOut(method, problem));
    }
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      const onTimeout = (): void => {
        this.#pending.delete(id);
        if (this.#socket !== null) this.#abandoned.add(id);
        reject(timedOut(method, `no answer within ${timeoutMs} ms`));
      };
      const timer = setTimeout(onTimeout, timeoutMs);
      this.#pending.set(id, { method, resolve, reject, timer });
      void this.#send(id, method, argument);
    });
  }

  /** Rejects what is pending and never connects again. */
  close(): void {
    this.#closed = true;
    if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer);
    this.#socket?.destroy();
    this.#rejectAll(unreachable('the connection was closed by this process'));
  }

  async #send(id: number, method: string, argument: unknown): Promise<void> {
    try {
      const frame = encodeFrame([{ type: 'call', method, args: [argument] }, id]);
      const socket = this.#socket ?? (await this.#connect());
      if (this.#pending.has(id)) socket.write(frame);
    } catch (error) {
      const problem = messageOf(error);
      this.#settle(id)?.reject(error instanceof HoldfastError ? error : unreachable(problem, error));
    }
  }

  #connect(): Promise<Socket> {
    this.#connecting ??= new Promise<Socket>((resolve, reject) => {
      if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer);
      const socket = connect(this.#socketPath);
      const attempt = setTimeout(() => socket.destroy(new Error('connecting timed out')), this.#timeoutMs);
      let problem = 'the daemon closed the connection';
      socket.on('error', (error) => {
        problem = error.message;
      });
      socket.once('close', () => {
        clearTimeout(attempt);
        this.#connecting = null;
        this.#onClose(socket, problem);
        reject(unreachable(problem));
      });
      socket.once('connect', () => {
        clearTimeout(attempt);
        this.#onOpen(socket);
        resolve(socket);
      });
    });
    return this.#connecting;
  }

  #onOpen(socket: Socket): void {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    this.#failedAttempts = 0;
    const splitter = new FrameSplitter(this.#maxFrameBytes);
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of splitter.push(chunk)) this.#onFrame(frame);
      } catch (error) {
        const problem = messageOf(error);
        this.#rejectAll(
          badAnswer(`the answer on ${this.#socketPath} is not PM2's protocol: ${problem}`, error),
        );
        socket.destroy(new Error(`protocol error: ${problem}`));
      }
    });
    this.emit('open', {});
  }

  #onClose(socket: Socket, problem: string): void {
    const wasOpen = this.#socket === socket;
    if (wasOpen) {
      this.#socket = null;
      this.#abandoned.clear();
      this.#rejectAll(
        unreachable(`${problem} before it answered; whether the call was carried out is not known`),
      );
    }
    if (this.#closed) return;
    if (wasOpen) this.emit('lost', { problem });
    const delayMs = 20 + fullJitterMs(this.#failedAttempts, RECONNECT, Math.random);
    this.#failedAttempts += 1;
    this.#reconnectTimer = setTimeout(() => {
      this.#reconnectTimer = null;
      this.#connect().catch(() => undefined); // its close handler has arranged the next attempt
    }, delayMs);
    this.#reconnectTimer.unref();
  }

  #onFrame(frame: Buffer[]): void {
    const idArgument = frame.at(-1);
    const answer = frame[0] === undefined ? undefined : decodeArgument(frame[0]);
    const id = idArgument === undefined ? undefined : decodeArgument(idArgument);
    if (typeof id !== 'number') throw new Error('an answer without a call number');
    this.#abandoned.delete(id);
    const pending = this.#settle(id);
    if (pending === undefined) return; // it came too late
    if (typeof answer !== 'object' || answer === null) {
      pending.reject(badAnswer(`PM2 answered "${pending.method}" with ${JSON.stringify(answer)}`));
    } else if ('error' in answer && answer.error !== undefined && answer.error !== null) {
      pending.reject(refused(pending.method, answer.error));
    } else if ('args' in answer && Array.isArray(answer.args)) {
      pending.resolve(answer.args[0]);
    } else {
      pending.reject(badAnswer(`PM2 answered "${pending.method}" with neither a result nor an error`));
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    return pending;
  }

  #rejectAll(error: HoldfastError): void {
    for (const id of this.#pending.keys()) this.#settle(id)?.reject(error);
  }
}

function timedOut(method: string, problem: string): HoldfastError {
  return new HoldfastError(
    'pm2.timeout',
    `PM2's daemon is there but does not answer "${method}": ${problem}. It may be stopped or overloaded; see its pm2.log.`,
    { status: 503, retryable: true, details: { method } },
  );
}

function unreachable(problem: string, cause?: unknown): HoldfastError {
  return new HoldfastError('pm2.unreachable', `PM2's daemon cannot be reached: ${problem}.`, {
    status: 503,
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}

function refused(method: string, answer: unknown): HoldfastError {
  const text = typeof answer === 'string' ? answer : JSON.stringify(answer);
  return new HoldfastError('pm2.refused', `PM2 refused "${method}": ${text}`, {
    status: 503,
    details: { method },
  });
}

/** An answer that is not what PM2 is known to give. */
export function badAnswer(problem: string, cause?: unknown): HoldfastError {
  return new HoldfastError('pm2.bad-answer', problem, {
    status: 503,
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}
