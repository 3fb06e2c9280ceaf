/** Raw sockets on both sides of a gateway: what node:http would hide is visible, and what it would refuse can be sent. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { waitFor } from './waitFor.js';

/** A client that writes bytes and remembers every byte that came back. */
export class RawClient {
  readonly socket: Socket;
  received = '';
  /** The other side has ended its side. */
  ended = false;
  closed = false;
  /** ECONNRESET, …; '' when it closed without an error. */
  problem = '';

  constructor(port: number, options: { readonly paused?: boolean } = {}) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    if (options.paused !== true) this.read();
    this.socket.on('end', () => {
      this.ended = true;
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.problem = error.code ?? error.message;
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  read(): this {
    this.socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
    });
    return this;
  }

  send(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  /** Waits until that text has come. Returns everything so far. */
  async until(text: string, deadlineMs = 5_000): Promise<string> {
    await waitFor(() => this.received.includes(text), {
      what: `${JSON.stringify(text)} in ${JSON.stringify(this.received.slice(0, 500))}`,
      deadlineMs,
      intervalMs: 2,
    });
    return this.received;
  }

  async untilEnded(deadlineMs = 5_000): Promise<string> {
    await waitFor(() => this.ended || this.closed, {
      what: `the end of the connection after ${JSON.stringify(this.received.slice(0, 500))}`,
      deadlineMs,
      intervalMs: 2,
    });
    return this.received;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** One connection that a raw upstream has accepted. */
export interface RawConnection {
  readonly socket: Socket;
  /** Every byte so far, latin1. */
  received: string;
  ended: boolean;
  closed: boolean;
}

/** A server that does with each connection's bytes what the test says. */
export class RawUpstream {
  readonly connections: RawConnection[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param onData called with every piece; write the answer there. @param onConnect called with every connection. */
  static async start(
    onData: (connection: RawConnection, chunk: string) => void,
    onConnect?: (connection: RawConnection) => void,
  ): Promise<RawUpstream> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const upstream = new RawUpstream(server);
    server.on('connection', (socket) => {
      const connection: RawConnection = { socket, received: '', ended: false, closed: false };
      upstream.connections.push(connection);
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        const text = chunk.toString('latin1');
        connection.received += text;
        onData(connection, text);
      });
      socket.on('end', () => {
        connection.ended = true;
        socket.end();
      });
      socket.on('close', () => {
        connection.closed = true;
      });
      onConnect?.(connection);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return upstream;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Everything that arrived, all connections one after the other. */
  get received(): string {
    return this.connections.map(({ received }) => received).join('');
  }

  get openConnections(): number {
    return this.connections.filter(({ closed }) => !closed).length;
  }

  async close(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case; several lines of one name are joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Cuts answers with Content-Length (or none) out of a stream of them; for tests that know what they asked for. */
export function parseAnswers(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let rest = text; rest !== '';) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) throw new Error(`no complete head in ${JSON.stringify(rest.slice(0, 300))}`);
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n');
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
    }
    const length = headers['content-length'] === undefined ? 0 : Number(headers['content-length']);
    answers.push({
      status: Number(statusLine.split(' ')[1]),
      headers,
      body: rest.slice(end + 4, end + 4 + length),
    });
    rest = rest.slice(end + 4 + length);
  }
  return answers;
}
