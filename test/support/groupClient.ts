import { WebSocket } from 'ws';
import { waitFor } from './waitFor.js';

/** A client of the samples' /ws that keeps what it received. */
export class GroupClient {
  readonly socket: WebSocket;
  readonly received: any[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data) => this.received.push(JSON.parse(String(data))));
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: String(reason) }));
    });
  }

  static async connect(url: string): Promise<GroupClient> {
    const socket = new WebSocket(url.replace(/^http/, 'ws'));
    const client = new GroupClient(socket);
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  send(message: unknown): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** Sends and resolves to the first answer after that of one of `types`. */
  async ask(message: unknown, ...types: string[]): Promise<any> {
    const from = this.received.length;
    this.send(message);
    return waitFor(() => this.received.slice(from).find(({ type }) => types.includes(type)), {
      what: `an answer (${types.join(' or ')}) to ${JSON.stringify(message)}`,
    });
  }

  async subscribe(group: string): Promise<void> {
    await this.ask({ type: 'subscribe', group }, 'subscribed');
  }

  /** Resolves to the data when it came. */
  async message(data: unknown): Promise<void> {
    await waitFor(() => this.received.some((m) => m.type === 'message' && m.data === data), {
      what: `the message ${JSON.stringify(data)}`,
    });
  }

  close(): void {
    this.socket.terminate();
  }
}
