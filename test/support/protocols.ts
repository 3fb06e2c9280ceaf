/**
 * One gateway, one upstream of raw bytes, and the same request in every protocol that clients speak: what a client is told
 * must not depend on the way that it came.
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { PoolSnapshot } from '../../backend/src/domain/upstreams/pool.js';
import type { GatewayLimits } from '../../backend/src/gateway/shared/limits.js';
import type { WorkerOptions } from '../../backend/src/gateway/worker/worker.js';
import { makeCertificate, materialOf, type MadeCertificate } from './certificates.js';
import { poolRow, startWorker, type TestWorker } from './gatewayWorker.js';
import { RawUpstream, type RawConnection } from './rawHttp.js';

export const PROTOCOLS = ['HTTP/1.1', 'TLS', 'HTTP/2'] as const;
export type Protocol = (typeof PROTOCOLS)[number];
export type Line = readonly [name: string, value: string];

export interface Asked {
  readonly method?: string;
  readonly path?: string;
  /** Default `a.example`. */
  readonly host?: string;
  /** Beside Host. */
  readonly lines?: readonly Line[];
  /** With a length; `chunked` sends it as it is in HTTP/1.1, and means nothing in HTTP/2. */
  readonly body?: string;
  readonly chunked?: string;
}

export interface Heard {
  readonly interim: readonly number[];
  /** 0: no answer. */
  readonly status: number;
  /** Names in lower case, a line each, as they came. */
  readonly lines: readonly Line[];
  readonly body: string;
  readonly trailers: readonly Line[];
  /** `cut`: the client can tell that something is missing. */
  readonly end: 'whole' | 'cut';
}

/** What the upstream does with a complete request head. */
export type Reply = string | ((connection: RawConnection) => void);

export class Stage {
  /** For the next request, and all after it. */
  reply: Reply = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
  readonly upstream: RawUpstream;
  readonly #gateway: TestWorker;
  readonly #tlsPort: number;
  readonly #certificate: MadeCertificate;
  readonly #folder: string;

  private constructor(
    upstream: RawUpstream,
    gateway: TestWorker,
    tlsPort: number,
    certificate: MadeCertificate,
    folder: string,
  ) {
    this.upstream = upstream;
    this.#gateway = gateway;
    this.#tlsPort = tlsPort;
    this.#certificate = certificate;
    this.#folder = folder;
  }

  static async start(
    limits: Partial<GatewayLimits> = {},
    options: Partial<WorkerOptions> = {},
    pool: Partial<PoolSnapshot> = {},
  ): Promise<Stage> {
    let stage: Stage | null = null;
    const upstream = await RawUpstream.start((connection, chunk) => {
      if (!/^[A-Z]+ \S+ HTTP\/1\.1\r\n/.test(chunk)) return;
      const reply = stage?.reply ?? '';
      if (typeof reply === 'string') connection.socket.write(reply, 'latin1');
      else reply(connection);
    });
    const ejection = { consecutiveFailures: 1_000, baseMs: 1, maxMs: 1, minHealthyShare: 1 };
    const gateway = await startWorker(poolRow([upstream.port], { ejection, ...pool }), limits, options);
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-stage-'));
    const certificate = await makeCertificate(folder, 'localhost', { names: ['localhost'] });
    const tls = { port: 0, host: '127.0.0.1' };
    const tlsPort = await gateway.worker.listenTls(tls, materialOf([certificate]));
    stage = new Stage(upstream, gateway, tlsPort, certificate, folder);
    return stage;
  }

  get worker(): TestWorker['worker'] {
    return this.#gateway.worker;
  }

  async close(): Promise<void> {
    this.#gateway.worker.close();
    await this.upstream.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** A connection of its own for every request. */
  ask(protocol: Protocol, asked: Asked = {}): Promise<Heard> {
    return protocol === 'HTTP/2' ? this.#askHttp2(asked) : this.#askHttp1(this.open(protocol), asked);
  }

  /** A raw connection that speaks HTTP/1.1. */
  open(protocol: 'HTTP/1.1' | 'TLS'): Socket {
    const { port } = this.#gateway;
    if (protocol === 'HTTP/1.1') return connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const ca = this.#certificate.certificate;
    return connectTls({ port: this.#tlsPort, host: '127.0.0.1', servername: 'localhost', ca });
  }

  async openHttp2(): Promise<ClientHttp2Session> {
    const session = connectHttp2(`https://localhost:${this.#tlsPort}`, {
      ca: this.#certificate.certificate,
      maxHeaderListPairs: 10_000,
    });
    session.on('error', () => undefined);
    await Promise.all([once(session, 'connect'), once(session, 'remoteSettings')]);
    return session;
  }

  async #askHttp1(socket: Socket, asked: Asked): Promise<Heard> {
    const { method = 'GET', path = '/', host = 'a.example', lines = [], body, chunked } = asked;
    const framing: Line[] =
      chunked !== undefined
        ? [['Transfer-Encoding', 'chunked']]
        : body === undefined
          ? []
          : [['Content-Length', String(body.length)]];
    const fields = [['Host', host], ['Connection', 'close'], ...framing, ...lines];
    const head = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    socket.write(`${method} ${path} HTTP/1.1\r\n${head}\r\n${chunked ?? body ?? ''}`, 'latin1');
    return heardFrom(socket, method === 'HEAD');
  }

  async #askHttp2(asked: Asked): Promise<Heard> {
    const { method = 'GET', path = '/', host = 'a.example', lines = [], body } = asked;
    const session = await this.openHttp2();
    const headers: Record<string, string | string[]> = {};
    for (const [name, value] of lines) {
      const before = headers[name.toLowerCase()];
      headers[name.toLowerCase()] = before === undefined ? value : [before, value].flat();
    }
    const pseudo = { ':method': method, ':path': path, ':authority': host };
    const stream = session.request({ ...pseudo, ...headers }, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    const heard = await heardFromStream(stream);
    session.destroy();
    return heard;
  }
}

/** Reads a connection to its end. */
export function heardFrom(socket: Socket, toHead = false): Promise<Heard> {
  return new Promise((resolve) => {
    let received = '';
    let isReset = false;
    socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    socket.on('error', () => (isReset = true));
    socket.on('end', () => socket.end());
    socket.on('close', () => resolve(parse(received, isReset, toHead)));
  });
}

/** Reads a stream to its end. */
export function heardFromStream(stream: ClientHttp2Stream): Promise<Heard> {
  return new Promise((resolve) => {
    const interim: number[] = [];
    let status = 0;
    let lines: Line[] = [];
    let trailers: Line[] = [];
    let body = '';
    // Node hands over the fields as they came, too; its types don't know.
    const on = (event: string, listener: (headers: object, flags: number, fields: string[]) => void): void =>
      void stream.on(event, listener as never);
    on('headers', (_headers, _flags, fields) => void interim.push(Number(fields[1])));
    on('response', (_headers, _flags, fields) => {
      const all = pairs(fields);
      status = Number(all.find(([name]) => name === ':status')?.[1]);
      lines = all.filter(([name]) => !name.startsWith(':'));
    });
    on('trailers', (_headers, _flags, fields) => (trailers = pairs(fields)));
    stream.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
    stream.on('error', () => undefined);
    stream.on('close', () => {
      const isWhole = status !== 0 && stream.rstCode === 0 && stream.readableEnded;
      resolve({ interim, status, lines, body, trailers, end: isWhole ? 'whole' : 'cut' });
    });
  });
}

function pairs(fields: readonly string[]): Line[] {
  const lines: Line[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) lines.push([fields[i] ?? '', fields[i + 1] ?? '']);
  return lines;
}

/** Everything that one connection brought. */
function parse(text: string, isReset: boolean, toHead: boolean): Heard {
  const interim: number[] = [];
  for (let rest = text; ;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    if (headEnd === -1) return { interim, status: 0, lines: [], body: rest, trailers: [], end: 'cut' };
    const [statusLine = '', ...fields] = rest.slice(0, headEnd).split('\r\n');
    const status = Number(statusLine.split(' ')[1]);
    const lines = fields.map(lineOf);
    rest = rest.slice(headEnd + 4);
    if (status < 200 && status !== 101) {
      interim.push(status);
      continue;
    }
    const valueOf = (name: string): string | undefined => lines.find((line) => line[0] === name)?.[1];
    const length = valueOf('content-length');
    const isEmpty = toHead || [101, 204, 304].includes(status);
    if (!isEmpty && valueOf('transfer-encoding') !== undefined) {
      const { body, trailers, complete } = unchunk(rest);
      return { interim, status, lines, body, trailers, end: complete && !isReset ? 'whole' : 'cut' };
    }
    const isComplete = isEmpty || length === undefined || Number(length) === rest.length;
    return {
      interim,
      status,
      lines,
      body: rest,
      trailers: [],
      end: isComplete && !isReset ? 'whole' : 'cut',
    };
  }
}

function lineOf(line: string): Line {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

function unchunk(text: string): { body: string; trailers: Line[]; complete: boolean } {
  let body = '';
  for (let rest = text; ;) {
    const lineEnd = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.slice(0, lineEnd), 16);
    if (lineEnd === -1 || Number.isNaN(size)) return { body, trailers: [], complete: false };
    rest = rest.slice(lineEnd + 2);
    if (size === 0) {
      const complete = rest === '\r\n' || rest.endsWith('\r\n\r\n');
      return { body, trailers: rest.split('\r\n').filter(Boolean).map(lineOf), complete };
    }
    body += rest.slice(0, size);
    rest = rest.slice(size + 2);
  }
}
