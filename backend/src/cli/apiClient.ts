/**
 * The supervisor's REST API as the commands use it. Every call ends within its time-out and either returns the
 * answer's `data` or throws a HoldfastError: the API's own code, or `supervisor.unreachable` when nothing (or
 * something that is not Holdfast) answers there. On the supervisor's machine calls go over its private socket
 * (adapters/supervisor/supervisorAgent).
 */
import { get, request } from 'node:http';
import type { Readable } from 'node:stream';
import { SupervisorAgent, type SupervisorAddress } from '../adapters/supervisor/supervisorAgent.js';
import { HoldfastError, messageOf } from '../domain/errors.js';
import type { EventRecord } from '../domain/events.js';

export interface Answer<T> {
  readonly status: number;
  readonly data: T;
}

interface Envelope {
  readonly success: boolean;
  readonly data?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

export class ApiClient {
  /** For people: "http://127.0.0.1:3000". */
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent: SupervisorAgent;

  constructor(supervisor: SupervisorAddress) {
    const { url, token } = supervisor;
    this.url = url;
    this.#agent = new SupervisorAgent(supervisor);
    this.#headers = token === null ? {} : { authorization: `Bearer ${token}` };
  }

  /** @param accept statuses besides 2xx whose body carries `data`, too: 503 of a health check. */
  get<T>(path: string, options: { timeoutMs?: number; accept?: readonly number[] } = {}): Promise<Answer<T>> {
    return this.#call<T>('GET', path, undefined, options);
  }

  post<T>(path: string, body: unknown, options: { timeoutMs?: number } = {}): Promise<Answer<T>> {
    return this.#call<T>('POST', path, body, options);
  }

  /** Whether something that speaks like a supervisor answers. Never throws. */
  async isUp(timeoutMs = 2_000): Promise<boolean> {
    try {
      await this.get('/api/ha/status', { timeoutMs });
      return true;
    } catch (error) {
      // A refusal (401, 503 …) in the API's own words is an answer, too.
      return error instanceof HoldfastError && error.code !== 'supervisor.unreachable';
    }
  }

  /**
   * Opens the stream of live events; it ends with `signal` or with the connection. Rejects when it can't be opened.
   * Not with fetch: after a garbage collection its connection no longer heeds the signal (seen with Node 20.20).
   */
  events(signal: AbortSignal): Promise<AsyncIterable<EventRecord>> {
    return new Promise((resolve, reject) => {
      const request = get(
        `${this.url}/api/ha/stream`,
        { headers: this.#headers, signal, agent: this.#agent },
        (response) => {
          if (response.statusCode === 200) return resolve(readEvents(response));
          response.resume();
          const message = `${this.url}/api/ha/stream answered HTTP ${response.statusCode ?? 0}.`;
          return reject(new HoldfastError('supervisor.unreachable', message));
        },
      );
      request.once('error', (error) => reject(this.#unreachable(error)));
    });
  }

  async #call<T>(
    method: string,
    path: string,
    body: unknown,
    { timeoutMs = 10_000, accept = [] }: { timeoutMs?: number; accept?: readonly number[] },
  ): Promise<Answer<T>> {
    const { status, text } = await this.#send(method, path, body, timeoutMs);
    const envelope = this.#read(path, status, text);
    const isOk = status >= 200 && status < 300;
    if (envelope.data !== undefined && (isOk || accept.includes(status))) {
      return { status, data: envelope.data as T };
    }
    const { code, message } = envelope.error ?? {
      code: 'supervisor.unreachable',
      message: `HTTP ${status}`,
    };
    throw new HoldfastError(code, message, { status });
  }

  #read(path: string, status: number, text: string): Envelope {
    const parsed = parsedOrNull(text);
    if (typeof parsed === 'object' && parsed !== null && 'success' in parsed) return parsed as Envelope;
    throw new HoldfastError(
      'supervisor.unreachable',
      `What answers at ${this.url}${path} (HTTP ${status}) is not a Holdfast supervisor; see HA_HOST and HA_PORT.`,
    );
  }

  #send(
    method: string,
    path: string,
    body: unknown,
    timeoutMs: number,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const payload = body === undefined ? null : JSON.stringify(body);
    const headers =
      payload === null
        ? this.#headers
        : {
            ...this.#headers,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(payload),
          };
    return new Promise((resolve, reject) => {
      const call = request(`${this.url}${path}`, { method, headers, agent: this.#agent });
      const fail = (error: Error): void => {
        clearTimeout(timer);
        reject(this.#unreachable(error));
        call.destroy();
      };
      const timer = setTimeout(() => fail(new Error('no answer in time')), timeoutMs);
      call.on('error', fail);
      call.on('response', (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', fail);
        answer.on('end', () => {
          clearTimeout(timer);
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
        });
      });
      call.end(payload);
    });
  }

  #unreachable(error: unknown): HoldfastError {
    const reason = messageOf(error) || 'no answer';
    return new HoldfastError(
      'supervisor.unreachable',
      `The supervisor at ${this.url} does not answer: ${reason}.`,
      {
        cause: error,
        retryable: true,
      },
    );
  }
}

function parsedOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Server-sent events: frames end with an empty line; only their `data:` lines matter here. */
async function* readEvents(body: Readable): AsyncGenerator<EventRecord, void, undefined> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of body) {
    const frames = (pending + decoder.decode(chunk as Buffer, { stream: true })).split('\n\n');
    pending = frames.pop() ?? '';
    for (const frame of frames) {
      const lines = frame.split('\n').filter((line) => line.startsWith('data:'));
      if (lines.length > 0) yield JSON.parse(lines.map((line) => line.slice(5)).join('\n')) as EventRecord;
    }
  }
}
