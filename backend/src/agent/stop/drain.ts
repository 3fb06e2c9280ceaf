/**
 * One stop, from the signal on: looks every LOOK_MS at what is open, does what plan.ts says of each connection, and
 * calls `end` when nothing is left to wait for or the time allowed is over.
 *
 * Every look comes right after the event loop has read what had arrived (that is where immediates run), so a connection
 * that looks silent is silent as far as this machine knows.
 */
import diagnostics from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import type { GracefulStopContext } from '../seams.js';
import { nowMs } from '../clock.js';
import { ClosingPorts } from './closingPorts.js';
import {
  acceptedConnections,
  listeningServers,
  protocolOf,
  type Protocol,
  type ServerSocket,
} from './connections.js';
import { Handover } from './handover.js';
import { LastAnswers } from './lastAnswers.js';
import {
  farewellsPerLook,
  isListeningOver,
  killTimeoutMs,
  LOOK_MS,
  stepFor,
  timeAllowedMs,
  type Connection,
} from './plan.js';
import type { TlsConnections } from './tlsConnections.js';

// As they were before the application.
const { setInterval, setImmediate, clearInterval } = globalThis;

/** What is remembered of a connection from one look to the next. */
interface Trace {
  /** Where it is settled: an HTTP connection may still become a WebSocket, not the other way round. */
  readonly settled: Protocol | null;
  readonly bytes: number;
  /** When `bytes` was last seen to change. */
  readonly movedAtMs: number;
  /** When it was told to close. */
  readonly toldAtMs: number | null;
}

export class Drain {
  readonly #context: GracefulStopContext;
  readonly #tls: TlsConnections;
  readonly #end: () => void;
  readonly #answers = new LastAnswers();
  readonly #ports = new ClosingPorts();
  readonly #handover = new Handover(() => this.#finish());
  readonly #startedAtMs = nowMs();
  readonly #deadlineAtMs: number;
  readonly #allowedMs: number;
  #lastConnectionAtMs = this.#startedAtMs;
  #traces = new Map<ServerSocket, Trace>();
  /** WebSockets to tell in one look; settled as it begins. */
  #farewells = 0;
  #timer: NodeJS.Timeout | null = null;

  /** Does nothing yet. `end` is called once, in `begin` or later; it need not return. */
  constructor(context: GracefulStopContext, tls: TlsConnections, end: () => void) {
    this.#context = context;
    this.#tls = tls;
    this.#end = end;
    this.#allowedMs = timeAllowedMs(killTimeoutMs(context.settings().killTimeoutMs, process.env));
    // Whoever sent the signal counts from then, and a busy loop hears of it late.
    this.#deadlineAtMs = this.#startedAtMs + this.#allowedMs - context.heardAfterMs();
  }

  /** Without servers and connections, here and on their way, it ends at once. */
  begin(): void {
    const connections = acceptedConnections(this.#tls);
    const servers = listeningServers(connections, this.#context.servers());
    if (connections.length === 0 && servers.length === 0 && !this.#handover.isDue) {
      this.#end();
      return;
    }
    const websockets = connections.filter((socket) => protocolOf(socket).kind === 'websocket').length;
    this.#farewells = farewellsPerLook(websockets, this.#allowedMs);
    for (const response of this.#context.responses()) this.#answers.mark(response);
    diagnostics.subscribe('http.server.request.start', this.#onRequest);
    diagnostics.subscribe('net.server.socket', this.#onConnection);
    // Referenced: the process must not run out of work before it was ended by the signal, as it would have been.
    this.#timer = setInterval(() => setImmediate(() => this.#look()), LOOK_MS);
  }

  /** Somebody else decides now: nothing is looked at or closed any more, and `end` is not called. */
  cancel(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#guard(() => this.#ports.cancel());
    diagnostics.unsubscribe('http.server.request.start', this.#onRequest);
    diagnostics.unsubscribe('net.server.socket', this.#onConnection);
  }

  readonly #onRequest = (message: unknown): void => {
    const { response } = message as { response: ServerResponse };
    this.#guard(() => this.#answers.mark(response));
  };

  readonly #onConnection = (): void => {
    this.#lastConnectionAtMs = nowMs();
  };

  #look(): void {
    if (this.#timer === null) return;
    this.#guard(() => {
      const atMs = nowMs();
      if (atMs >= this.#deadlineAtMs) return this.#finish();
      if (!this.#isDone(atMs)) return;
      if (this.#handover.isDue) this.#handover.begin();
      else this.#finish();
    });
  }

  /** Takes every connection a step further; true when there is nothing left to wait for. */
  #isDone(atMs: number): boolean {
    const connections = acceptedConnections(this.#tls);
    const isListening = this.#isListening(connections, atMs);
    const traces = new Map<ServerSocket, Trace>();
    let waiting = 0;
    let farewells = this.#farewells;
    for (const socket of connections) {
      let trace = this.#trace(socket, atMs);
      const protocol = trace.settled ?? protocolOf(socket);
      const step = stepFor(view(protocol, trace, atMs));
      if (step === 'wait' || step === 'tell') waiting += 1;
      if (step === 'close') socket.destroySoon();
      if (step === 'tell' && (protocol.kind !== 'websocket' || farewells-- > 0)) {
        trace = { ...trace, settled: protocol, toldAtMs: atMs };
        this.#guard(() => sayGoodbye(protocol));
      }
      traces.set(socket, trace);
    }
    this.#traces = traces;
    return !isListening && waiting === 0;
  }

  #trace(socket: ServerSocket, atMs: number): Trace {
    const bytes = socket.bytesRead + socket.bytesWritten;
    const before = this.#traces.get(socket);
    if (before === undefined) return { settled: null, bytes, movedAtMs: atMs, toldAtMs: null };
    return before.bytes === bytes ? before : { ...before, bytes, movedAtMs: atMs };
  }

  /** Ends it when it is time to. */
  #isListening(connections: readonly ServerSocket[], atMs: number): boolean {
    if (!isListeningOver(atMs - this.#startedAtMs, atMs - this.#lastConnectionAtMs)) return true;
    for (const server of listeningServers(connections, this.#context.servers())) {
      this.#guard(() => this.#ports.close(server));
    }
    return this.#ports.isUnderWay;
  }

  #finish(): void {
    if (this.#timer === null) return;
    this.cancel();
    this.#end();
  }

  /** Whatever fails, fails here alone: the deadline is what the end depends on, and it is looked at first. */
  #guard(step: () => void): void {
    try {
      step();
    } catch {
      // What was to be done a little better is left to the end of the process.
    }
  }
}

function view(protocol: Protocol, trace: Trace, atMs: number): Connection {
  const quietMs = atMs - trace.movedAtMs;
  const toldMs = trace.toldAtMs === null ? null : atMs - trace.toldAtMs;
  switch (protocol.kind) {
    case 'http':
      return { kind: 'http', underWay: protocol.underWay, quietMs };
    case 'http2':
    case 'websocket':
      return { kind: protocol.kind, toldMs };
    case 'opaque':
      return { kind: 'opaque', quietMs };
  }
}

/** 1001: an endpoint is "going away" (RFC 6455, section 7.4.1). The library writes the frame where one may begin. */
function sayGoodbye(protocol: Protocol): void {
  if (protocol.kind === 'websocket') protocol.websocket.close(1001);
  if (protocol.kind === 'http2') protocol.session.close();
}
