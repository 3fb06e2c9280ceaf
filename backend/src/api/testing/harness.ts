/** A real API on a free loopback port, and the few ways in which tests talk to it. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { createApi } from '../api.js';
import type { Api, ApiLimits, ApiOptions, Readiness } from '../api.js';
import type { PrivateSocket } from '../httpServer.js';
import type { SessionStore } from '../security/revokedSessions.js';
import { MemoryControlPlane } from './memoryControlPlane.js';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed envelope; fails when the body is not JSON. */
  readonly json: Envelope;
}

// Tests look into answers freely; their shapes are held to the schemas in openapi.test.ts.
type Loose = any;

export interface Envelope {
  readonly success: boolean;
  readonly timestamp: string;
  readonly data?: Loose;
  readonly error?: { readonly code: string; readonly message: string; readonly details?: Loose };
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; a string or Buffer is sent as it is, still declared as JSON unless `headers` say otherwise. */
  readonly body?: unknown;
}

export interface Harness {
  readonly api: Api;
  readonly controlPlane: MemoryControlPlane;
  readonly port: number;
  readonly url: string;
  readonly log: LogLine[];
  readiness: Readiness;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** A bare TCP connection. */
  raw(): Promise<Socket>;
  close(): Promise<void>;
}

export interface HarnessOptions {
  readonly settings?: Partial<ApiOptions['settings']>;
  readonly limits?: Partial<ApiLimits>;
  readonly controlPlane?: MemoryControlPlane;
  readonly privateSocket?: PrivateSocket;
  readonly sessionStore?: SessionStore;
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const controlPlane = options.controlPlane ?? new MemoryControlPlane();
  const log: LogLine[] = [];
  const at =
    (level: LogLine['level']) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      log.push({ level, message, fields });
    };
  const harness = { readiness: { ready: true, reason: 'first observation made' } as Readiness };
  const api = createApi({
    controlPlane,
    settings: {
      host: '127.0.0.1',
      port: 0,
      token: null,
      sessionSecret: null,
      version: '1.2.3',
      ...options.settings,
    },
    logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    readiness: () => harness.readiness,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.privateSocket === undefined ? {} : { privateSocket: options.privateSocket }),
    ...(options.sessionStore === undefined ? {} : { sessionStore: options.sessionStore }),
  });
  const { port } = await api.listen();
  return Object.assign(harness, {
    api,
    controlPlane,
    port,
    url: `http://127.0.0.1:${port}`,
    log,
    call: (method: string, path: string, callOptions: CallOptions = {}) =>
      call(port, method, path, callOptions),
    raw: () => openSocket(port),
    close: () => api.close({ graceMs: 0 }),
  });
}

/** Waits for `condition`, at most `deadlineMs`. */
export async function until(what: string, condition: () => boolean, deadlineMs = 5_000): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`Waited ${deadlineMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Everything that a socket receives until the other side ends it. */
export function readAll(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
    socket.once('close', () => resolve(text)).on('error', () => undefined);
  });
}

function call(port: number, method: string, path: string, { headers, body }: CallOptions): Promise<Answer> {
  const asIs = typeof body === 'string' || Buffer.isBuffer(body);
  const payload = body === undefined ? undefined : asIs ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        agent: false,
        headers: {
          ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
          ...(payload === undefined || headers?.['transfer-encoding'] !== undefined
            ? {}
            : { 'content-length': Buffer.byteLength(payload) }),
          ...headers,
        },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.once('error', reject).once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            get json() {
              return JSON.parse(text) as Envelope;
            },
          }),
        );
      },
    );
    request.once('error', reject).end(payload);
  });
}

function openSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
  });
}
