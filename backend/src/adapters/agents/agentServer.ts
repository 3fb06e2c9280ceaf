/**
 * The AgentLink of ports.ts on a unix socket (socketFile.ts); what is said: backend/src/agent/protocol.ts.
 *
 * One connection a process, and the newest counts: an agent opens another one only after it has given the first one up,
 * and a pid that comes back belongs to another process by then. Whoever claims a pid must claim a live one, so that
 * connections are bounded by processes; those that have not said who they are make room for newcomers, the oldest first,
 * so that a crowd of silent peers keeps no agent out.
 *
 * Figures are numbered by their sender over all its connections; what does not grow is a replay and is dropped.
 *
 * Where the socket can't be had, services run as well without: it is said once and tried again now and then, also when
 * somebody removed the name it had.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { messageOf } from '../../domain/errors.js';
import { Emitter } from '../../lib/emitter.js';
import type { AgentEvents, AgentLink, AgentLinkCounts, AgentSettings, Clock, Logger } from '../../ports.js';
import { Complaints } from '../../lib/complaints.js';
import { Connection, PROTOCOL, type Offence } from './connection.js';
import { LineBudget } from './lineSplitter.js';
import type { Hello, Message } from './messages.js';
import { claimSocket, isStillOurs, releaseSocket } from './socketFile.js';

export interface AgentServerOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the agent in that process is to do. */
  readonly settings: (pid: number) => AgentSettings;
}

/** Between two looks at whether the name still leads here. */
const TEND_INTERVAL_MS = 5_000;
const MOST_KNOWN = 600;
/** After a restart of the supervisor all agents come at once, and none is heard before all are accepted. */
const MOST_UNKNOWN = 256;
/** Of all unfinished lines together: room for a few reports at a time. */
const MOST_BUFFERED_BYTES = 16 * 1024 * 1024;
/** Senders whose last number is remembered after they left. */
const MOST_SENDERS = 2_000;

interface Sender {
  readonly startedAtMs: number;
  seq: number;
}

export class AgentServer implements AgentLink {
  readonly #options: AgentServerOptions;
  readonly #events: Emitter<AgentEvents>;
  readonly #complaints: Complaints;
  readonly #budget = new LineBudget(MOST_BUFFERED_BYTES);
  readonly #known = new Map<number, Connection>();
  /** In the order in which they came. */
  readonly #unknown = new Set<Connection>();
  readonly #senders = new Map<number, Sender>();
  readonly #counts = { refused: 0, badLines: 0, replayed: 0 };
  #server: Server | null = null;
  #inode: number | null = null;
  #problem: string | null = 'not begun';
  #cancelTimer: () => void = () => undefined;
  #closed = false;

  constructor(options: AgentServerOptions) {
    const { logger, clock } = options;
    this.#options = options;
    this.#complaints = new Complaints(logger, () => clock.nowMs());
    this.#events = new Emitter((error, type) =>
      logger.error('a listener of the agents failed', { type, problem: messageOf(error) }),
    );
  }

  /** Listens, and goes on seeing to it. Resolves after the first attempt, also when it failed. Never rejects. */
  async start(): Promise<void> {
    if (this.#closed) return;
    if (this.#inode === null || !isStillOurs(this.#options.path, this.#inode)) await this.#claim();
    if (this.#closed) return;
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.after(TEND_INTERVAL_MS, () => void this.start());
  }

  on<K extends keyof AgentEvents>(event: K, listener: (payload: AgentEvents[K]) => void): () => void {
    return this.#events.on(event, listener);
  }

  isConnected(pid: number): boolean {
    return this.#known.has(pid);
  }

  refresh(): void {
    for (const [pid, connection] of this.#known) connection.welcome(this.#options.settings(pid));
  }

  counts(): AgentLinkCounts {
    return { connected: this.#known.size, ...this.#counts, problem: this.#problem };
  }

  /** Closes every connection; agents try again until somebody listens. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    if (this.#inode !== null) releaseSocket(this.#options.path, this.#inode);
    for (const connection of [...this.#known.values(), ...this.#unknown]) connection.end('refused');
    const server = this.#server;
    this.#server = null;
    if (server?.listening === true) await new Promise((resolve) => server.close(resolve));
  }

  async #claim(): Promise<void> {
    const { path, logger } = this.#options;
    // Connections that were made under a name that is gone go on.
    this.#server?.close();
    const server = createServer((socket) => this.#accept(socket));
    const claim = await claimSocket(path, server);
    if (this.#closed) {
      server.close();
      if (claim.ok) releaseSocket(path, claim.inode);
      return;
    }
    this.#server = claim.ok ? server : null;
    this.#inode = claim.ok ? claim.inode : null;
    // What goes wrong with a listening socket (no file descriptor is left) concerns one connection.
    server.on('error', (error) =>
      this.#complaints.complain('accept', 'an agent could not connect', { problem: messageOf(error) }),
    );
    if (claim.ok) logger.info('agents can connect', { path });
    else if (claim.problem !== this.#problem) {
      const message =
        'agents inside instances cannot reach the supervisor; it goes on without what they would tell';
      logger.warn(message, { path, problem: claim.problem });
    }
    this.#problem = claim.ok ? null : claim.problem;
  }

  #accept(socket: Socket): void {
    const { clock } = this.#options;
    const [oldest] = this.#unknown;
    if (this.#unknown.size >= MOST_UNKNOWN) oldest?.end('refused');
    const connection = new Connection({
      socket,
      budget: this.#budget,
      at: () => ({ nowMs: clock.nowMs(), wallMs: clock.wallMs() }),
      after: (delayMs, run) => clock.after(delayMs, run),
      onHello: (hello) => this.#admit(connection, hello),
      onMessage: (message) => this.#take(connection, message),
      onDropped: (problem) => {
        this.#counts.badLines += 1;
        const pid = connection.hello?.pid ?? null;
        this.#complaints.complain('bad-line', 'an agent said what is not understood; it is dropped', {
          problem,
          pid,
        });
      },
      onEnd: (offence) => this.#ended(connection, offence),
    });
    this.#unknown.add(connection);
  }

  #admit(connection: Connection, hello: Hello): Offence | null {
    const { pid, agentVersion, nodeVersion, startedAtMs } = hello;
    if (!isAlive(pid)) return 'not-a-process';
    const before = this.#known.get(pid);
    if (before === undefined && this.#known.size >= MOST_KNOWN) return 'refused';
    before?.end('replaced');
    this.#unknown.delete(connection);
    this.#known.set(pid, connection);
    const sender = this.#senders.get(pid);
    this.#senders.delete(pid);
    this.#senders.set(pid, sender?.startedAtMs === startedAtMs ? sender : { startedAtMs, seq: -1 });
    const [longestGone] = this.#senders.keys();
    if (this.#senders.size > MOST_SENDERS && longestGone !== undefined) this.#senders.delete(longestGone);
    connection.welcome(this.#options.settings(pid));
    this.#events.emit('connected', { pid, agentVersion, nodeVersion });
    return null;
  }

  #take(connection: Connection, message: Exclude<Message, { kind: 'hello' | 'bad' | 'unknown' }>): void {
    const pid = connection.hello?.pid;
    if (pid === undefined || this.#known.get(pid) !== connection) return;
    switch (message.kind) {
      case 'figures': {
        const sender = this.#senders.get(pid);
        if (sender === undefined || message.seq <= sender.seq) {
          this.#counts.replayed += 1;
          return;
        }
        sender.seq = message.seq;
        return this.#events.emit('figures', { pid, figures: message.figures });
      }
      case 'hang':
        return this.#events.emit('hang', { pid, hang: message.hang });
      case 'recovered':
        return this.#events.emit('recovered', { pid, hang: message.hang, silentMs: message.silentMs });
      case 'attachment':
        return this.#events.emit('attachment', { pid, attachment: message.attachment });
      case 'listening':
        return this.#events.emit('listening', { pid, listening: message.listening });
      case 'stopping':
        return this.#events.emit('stopping', { pid, signal: message.signal, draining: message.draining });
    }
  }

  #ended(connection: Connection, offence: Offence | null): void {
    this.#unknown.delete(connection);
    const { hello } = connection;
    if (hello !== null && this.#known.get(hello.pid) === connection) {
      this.#known.delete(hello.pid);
      this.#events.emit('gone', { pid: hello.pid });
    }
    if (offence === null || this.#closed) return;
    if (offence !== 'replaced') this.#counts.refused += 1;
    this.#explain(offence, hello);
  }

  #explain(offence: Offence, hello: Hello | null): void {
    if (offence === 'replaced') return;
    if (offence === 'protocol' && hello !== null) {
      const { protocol, pid, agentVersion } = hello;
      this.#complaints.complain(
        `protocol ${protocol}`,
        `an agent speaks protocol ${protocol} and this supervisor ${PROTOCOL}; restart the service to renew its agents`,
        { pid, agentVersion },
      );
      return;
    }
    this.#complaints.complain(offence, `a connection of an agent was ended: ${REASONS[offence]}`, {
      pid: hello?.pid ?? null,
    });
  }
}

const REASONS: Readonly<Record<Offence, string>> = {
  'no-hello': 'it did not say who it is',
  protocol: 'it speaks another protocol',
  'not-a-process': 'it claims to be a process that does not exist',
  nonsense: 'nothing of what it says is understood',
  'too-long': 'it sent a line that is too long',
  'no-room': 'there are too many unfinished lines',
  'not-reading': 'it does not read what it is told',
  refused: 'there are too many',
  replaced: 'the same process has opened another',
};

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
