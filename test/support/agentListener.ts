/** The least that an agent takes for a supervisor: welcomes everybody, and keeps every message with its time. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { AgentAttachment, AgentFigures, Hang } from '../../backend/src/domain/agents/agent.js';

/** By type, as far as tests look at them (backend/src/agent/protocol.ts, whose project is another). */
interface Messages {
  readonly hello: { readonly pid: number; readonly agent: string };
  readonly hang: Hang;
  readonly recovered: Pick<Hang, 'hang' | 'silentMs'>;
  readonly attachment: Omit<AgentAttachment, 'atWallMs'>;
  readonly figures: Omit<AgentFigures, 'atMs' | 'eluPercent'> & {
    readonly seq: number;
    readonly elu: number;
  };
}

interface Welcome {
  readonly type: 'welcome';
  readonly protocol: number;
  readonly hangTimeoutMs: number;
  readonly intervalMs: number;
  readonly killTimeoutMs: number;
}

interface Heard {
  /** Monotonic clock of the machine, ms: comparable with those of other processes. */
  readonly atMs: number;
  readonly pid: number;
  readonly message: { readonly type: string };
}

/** Monotonic clock of the machine, ms. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class AgentListener {
  readonly path: string;
  /** Everything but figures, of which only the last thousand are kept, in `figures`. */
  readonly heard: Heard[] = [];
  readonly figures: Heard[] = [];
  readonly #folder: string;
  readonly #sockets = new Set<Socket>();
  readonly #welcome: Welcome;
  #server: Server | null = null;

  private constructor(settings: Partial<Welcome>) {
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-agents-'));
    this.path = join(this.#folder, 'agents.sock');
    this.#welcome = {
      type: 'welcome',
      protocol: 1,
      hangTimeoutMs: 1_000,
      intervalMs: 250,
      killTimeoutMs: 10_000,
      ...settings,
    };
  }

  static async start(settings: Partial<Welcome> = {}): Promise<AgentListener> {
    const listener = new AgentListener(settings);
    await listener.open();
    return listener;
  }

  open(): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    return new Promise((resolve) => server.listen(this.path, resolve));
  }

  /** As a supervisor that ends: connections and socket are gone, `open` brings it back. */
  async shut(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  async dispose(): Promise<void> {
    await this.shut();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Messages of one type from one process, oldest first. */
  of<T extends keyof Messages>(
    pid: number,
    type: T,
  ): { readonly atMs: number; readonly message: Messages[T] }[] {
    const all = type === 'figures' ? this.figures : this.heard;
    return all.filter((heard) => heard.pid === pid && heard.message.type === type) as never;
  }

  #accept(socket: Socket): void {
    let pid = 0;
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    createInterface({ input: socket }).on('line', (line) => {
      const message = JSON.parse(line) as { type: string; pid?: number };
      if (message.type === 'hello') {
        pid = message.pid ?? 0;
        socket.write(`${JSON.stringify(this.#welcome)}\n`);
      }
      const list = message.type === 'figures' ? this.figures : this.heard;
      list.push({ atMs: machineMs(), pid, message });
      if (this.figures.length > 1_000) this.figures.shift();
    });
  }
}
