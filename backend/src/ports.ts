/**
 * What the control plane's world must offer. Services know only these; adapters/ implements them; only the
 * entries (supervisor.ts, cli.ts) construct adapters. The gateway and the agent join here: the gateway follows
 * `instance.serving` / `instance.withdrawn`, agents speak through `AgentLink`.
 */
import type { AgentAttachment, AgentFigures, Hang } from './domain/agents/agent.js';
import type {
  BlackBoxEntry,
  BlackBoxFile,
  BlackBoxSummary,
  FiguresLine,
} from './domain/blackBox/blackBox.js';
import type { EndRules } from './domain/model.js';
import type { ExitFacts, Listening, RunningFacts } from './domain/diagnosis/facts.js';
import type { EventRecord } from './domain/events.js';
import type { Member } from './domain/upstreams/members.js';
import type { InstanceId, ManagedProcess, StrayProcess } from './domain/model.js';
import type { ProbeSpec } from './domain/policy.js';
import type { PortOwner } from './domain/network/portOwner.js';
import type { ForeignHolder } from './domain/network/sharedPorts.js';
import type { RestartCause } from './domain/failures/restarts.js';
import type { TrafficReport } from './domain/statistics/traffic.js';

export type { Member } from './domain/upstreams/members.js';

export interface Clock {
  /** Monotonic, ms: for durations. */
  nowMs(): number;
  /** Wall clock, ms since the epoch: for display and for comparing with PM2's times. */
  wallMs(): number;
  /** Calls once after `delayMs`; the returned function cancels. Never keeps the process alive by itself. */
  after(delayMs: number, run: () => void): () => void;
}

export interface ProcessExit {
  readonly service: string;
  readonly pmId: number;
  /** Which start of it ended (`pm_uptime`): together with service and pmId the identity of the instance. */
  readonly startedAtMs: number;
  /** null when PM2 restarted it before we had seen it. */
  readonly pid: number | null;
  readonly exitCode: number | null;
  /** `SIGKILL`, … when a signal ended it and the daemon said so. */
  readonly signal: string | null;
  /** PM2 was asked to end it (its status was `stopping`): by us, or by an operator's `pm2 stop|restart|reload`. */
  readonly asked: boolean;
  /** What PM2 does after it. Absent: as the list says. */
  readonly endRules?: EndRules;
}

export interface ProcessManagerEvents {
  /** An instance's process ended, for whatever reason (also when we asked for it). */
  exit: ProcessExit;
  /** What had ended and was to be started again later is not: an operator stopped it meanwhile. */
  stopped: InstanceId;
  /** PM2 is about to restart that one by itself. */
  restarting: { service: string; pmId: number; cause: RestartCause };
  /** PM2 has launched a process (it does not listen yet). */
  online: { service: string; pmId: number };
  /** The connection to the daemon came or went. */
  connected: { version: string; pid: number | null };
  lost: { problem: string };
}

/** How an instance is ended. */
export interface EndOptions {
  /** From SIGINT to SIGKILL; default: the service's kill time-out. For one that can't react to a signal. */
  readonly killAfterMs?: number;
}

/**
 * PM2. Every call ends within a time-out and rejects with a HoldfastError: `pm2.timeout` (alive, not answering),
 * `pm2.unreachable` (no daemon), `pm2.refused` (it answered with an error), `pm2.bad-answer`. Mutations of one
 * service run one at a time and are verified against a fresh list before they resolve.
 */
export interface ProcessManager {
  /** Every process of every application that PM2 lists. */
  list(): Promise<readonly ManagedProcess[]>;
  /**
   * One more instance, with a scrubbed environment and, where the service has a port range, a free port of it.
   * Resolves when PM2 lists it with a pid (not yet: when it serves).
   * Rejects also with `port.none-free` and `service.undefined`.
   * @param replaces the instance whose number (NODE_APP_INSTANCE) it takes: both have that number until the replaced one has ended.
   * @param avoid ports that it gets only where no other is free.
   */
  startInstance(
    service: string,
    replaces?: InstanceId | null,
    avoid?: ReadonlySet<number>,
  ): Promise<ManagedProcess>;
  /** SIGINT, SIGKILL after the service's kill time-out, gone from the list. Idempotent: a missing one is fine. */
  removeInstance(target: InstanceId, options?: EndOptions): Promise<void>;
  /** Like remove, but stays in PM2's list as stopped (its logs stay at hand). */
  haltInstance(target: InstanceId, options?: EndOptions): Promise<void>;
  /** Starts a halted one again under the same pmId and port. */
  resumeInstance(target: InstanceId): Promise<ManagedProcess>;
  /** Processes of the supervised services that live but are not listed. */
  findStrays(): Promise<readonly StrayProcess[]>;
  /** SIGINT, then SIGKILL; refuses (resolves false) when pid + start time no longer match. */
  endStray(stray: StrayProcess): Promise<boolean>;
  /** Starts a daemon if there is none, never two: concurrent callers and processes share one start. */
  ensureDaemon(): Promise<'running' | 'started'>;
  on<K extends keyof ProcessManagerEvents>(
    event: K,
    listener: (payload: ProcessManagerEvents[K]) => void,
  ): () => void;
  /** Closes sockets and timers; running services are left alone. */
  close(): Promise<void>;
}

export type ProbeResult =
  | { readonly ok: true; readonly latencyMs: number }
  | {
      readonly ok: false;
      readonly latencyMs: number;
      readonly kind: 'refused' | 'timeout' | 'status' | 'body' | 'error' | 'stranger';
      /** For people: "HTTP 503, expected 200–399". */
      readonly detail: string;
    };

/** What is asked. `owner`: to which users its port must belong; absent: to any. */
export interface ProbeTarget {
  readonly host: string;
  readonly port: number;
  readonly owner?: PortOwner | undefined;
}

export interface Prober {
  /** Never rejects. Ends within `timeoutMs`. */
  probe(target: ProbeTarget, spec: ProbeSpec, timeoutMs: number): Promise<ProbeResult>;
}

/** Of one process, by pid and start: null where a figure is missing. */
export interface ProcessFigures {
  /** CPU of one core over the time since the previous sample, 0–100 × threads. null on the first sample. */
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
}

export interface ProcessMeter {
  /** Never rejects; a process that cannot be read is absent from the map. Keyed by pid. */
  sample(
    processes: readonly { readonly pid: number; readonly startedAtMs: number }[],
  ): Promise<ReadonlyMap<number, ProcessFigures>>;
}

/** What the kernel holds for processes that are too busy to take it. */
export interface ConnectionMeter {
  /**
   * By local port, of this machine: connections with bytes that no process has read, those not accepted yet among them.
   * Seconds old at most. Never rejects; null where it can't be known.
   */
  unread(): Promise<ReadonlyMap<number, number> | null>;
}

/** The machine, or the container's share of it. */
export interface HostFigures {
  readonly cores: number;
  readonly cpuPercent: number | null;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly diskUsedPercent: number | null;
  readonly connections: number | null;
  readonly loadAverage1m: number;
  readonly uptimeSeconds: number;
}

export interface HostMeter {
  /** The last known figures, at once; refreshed in the background. */
  figures(): HostFigures;
  /** Grows when the kernel's OOM killer ended a process here; null where that can't be read. */
  oomKills(): number | null;
}

/** Small state that must survive the supervisor: written atomically. */
export interface StateStore {
  /**
   * `state` is null when there is none yet or it was unusable. `damaged` says what was wrong, and where that lies now.
   * Rejects where there is one that can't be read now; on a disk that hangs it is waited for.
   */
  load(): Promise<{ state: unknown; damaged?: { movedTo: string; problem: string } }>;
  /**
   * Rejects when it could not be written, also on a disk that hangs, in bounded time; the old state is then still whole.
   * Saves run one after the other.
   */
  save(state: unknown): Promise<void>;
  /** Keeps what `load` gave where no save overwrites it, for a person to look at, and says where. Never rejects. */
  setAside(): Promise<string>;
  /** Keeps a copy of what `load` gave, for a person to look at, and says where; the state stays as it is. Never rejects. */
  keepCopy(): Promise<string>;
}

/** The last events, bounded; survives a restart. */
export interface History {
  append(event: EventRecord): void;
  /** Newest last. `sinceMs`: wall clock, exclusive of older ones. */
  query(filter: { sinceMs?: number; service?: string; limit: number }): readonly EventRecord[];
  /** Entries that could not be kept. */
  dropped(): number;
  close(): Promise<void>;
}

/** Tells people. Bounded queue; a notifier that fails is logged and counted, never waited for. */
export interface Notifier {
  notify(event: EventRecord): void;
}

/** What services log with; winston fits it. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** What a source can say of its list beside the members, for people. */
export interface ListNotes {
  /** Why there are no more of them, one or two sentences; null: that is not known. */
  readonly reason: string | null;
  /** What is wrong with those that are not on the list because of it, by id (host:port). */
  readonly faults: ReadonlyMap<string, string>;
  /** The source should tell of changes and does not, for this reason: it is asked again and again. Absent: it does. */
  readonly polling?: string;
}

/**
 * `ended`: the process at that address has ended; told after the list without it. `superseded`: it has begun to stop, and
 * another process listens at the same address already.
 */
export type ProcessNews = 'ended' | 'superseded';

/** A source of upstreams: a list, DNS, a registry, the supervisor. Keeps its last good answer by itself. */
export interface Discovery {
  /**
   * Begins; called once. `listener` gets the whole list, at first and whenever it or its notes changed; a source without
   * notes gives none. `onProblem` hears, for people, why the source gives no answer just now; the next call of `listener`
   * says that it does again. `onProcess` hears of the process of a member; most sources can't know.
   */
  start(
    listener: (members: readonly Member[], notes?: ListNotes) => void,
    onProblem: (problem: string) => void,
    onProcess?: (id: string, news: ProcessNews) => void,
  ): void;
  /** Lets go of sockets, watchers and timers. Idempotent. */
  close(): Promise<void>;
}

/** The TCP sockets of this machine at one moment. */
export interface TcpSockets {
  /** The sockets that listen on a port of any address; a name says which one it is, and is not used again. */
  listeners(port: number): ReadonlySet<string>;
  /** Bytes that were sent on a connection, and that its other end has not read; null: the other end is not on this machine. */
  unreadBytes(localPort: number, remotePort: number): number | null;
}

/** A gateway's way to tell the supervisor of its traffic. */
export interface SupervisorLink {
  /** Ends within a time-out and never rejects: null when the supervisor took it, else why not, for people. */
  report(report: TrafficReport): Promise<string | null>;
  close(): Promise<void>;
}

/** A certificate with its chain, and its private key: PEM, as found, not yet judged. */
export interface CertificateText {
  /** Its file, for messages. Unique. */
  readonly name: string;
  readonly certificate: string;
  readonly key: string;
}

/** Where the gateway's certificates are kept. */
export interface CertificateSource {
  /** All of them, the default one first. Never rejects: what can't be read is a problem, a sentence each. */
  read(): Promise<
    | { readonly ok: true; readonly certificates: readonly CertificateText[] }
    | { readonly ok: false; readonly problems: readonly string[] }
  >;
}

/** What an agent is told when it connects. */
export interface AgentSettings {
  readonly hangTimeoutMs: number;
  readonly intervalMs: number;
  /** From SIGINT to SIGKILL. */
  readonly killTimeoutMs: number;
}

/** All by pid: the caller knows which instance that is. */
export interface AgentEvents {
  connected: { readonly pid: number; readonly agentVersion: string; readonly nodeVersion: string };
  figures: { readonly pid: number; readonly figures: AgentFigures };
  hang: { readonly pid: number; readonly hang: Hang };
  recovered: { readonly pid: number; readonly hang: number; readonly silentMs: number };
  attachment: { readonly pid: number; readonly attachment: AgentAttachment };
  listening: { readonly pid: number; readonly listening: Listening };
  stopping: { readonly pid: number; readonly signal: string; readonly draining: boolean };
  /** Its connection ended; a process that lives connects again within seconds. */
  gone: { readonly pid: number };
}

/**
 * The agents inside the instances. Never throws and never emits what it has not validated; whatever an agent, or a
 * stranger, sends costs bounded memory and at most its own connection.
 */
export interface AgentLink {
  on<K extends keyof AgentEvents>(event: K, listener: (payload: AgentEvents[K]) => void): () => void;
  isConnected(pid: number): boolean;
  /** Tells every agent whose settings have changed; which instance a process is may be known only after it has connected. */
  refresh(): void;
  counts(): AgentLinkCounts;
  close(): Promise<void>;
}

/** Since the supervisor started, except `connected`. */
export interface AgentLinkCounts {
  /** Now. */
  readonly connected: number;
  /** Connections that were ended because of what their peer did, or for want of room. */
  readonly refused: number;
  /** Lines that were not understood. */
  readonly badLines: number;
  /** Figures that had been sent before. */
  readonly replayed: number;
  /** Why agents can't connect at all; null when they can. */
  readonly problem: string | null;
}

/** What the kernel says of a process. */
export interface ProcessStates {
  /** `traced`: a debugger of the system (gdb, strace) holds it. null: gone, or this platform does not tell. */
  stateOf(pid: number): 'running' | 'stopped' | 'traced' | null;
}

/** What a black box holds beside its summary. A piece that is absent has nothing new to say. */
export interface BlackBoxPieces {
  readonly stack?: string;
  readonly stderr?: string;
  readonly figures?: readonly FiguresLine[];
  /** As an agent sent them: what writes them to disk removes secrets first. */
  readonly report?: unknown;
  readonly heapProfile?: unknown;
}

/** Where black boxes are kept: bounded in number and size, and never a file or an entry that is half there. */
export interface BlackBoxStore {
  /**
   * Writes a new entry, or adds to the one of that id. Never rejects: false when it could not be written, and then
   * nothing of it is there, or what was there before. Calls are carried out one after the other.
   */
  save(summary: BlackBoxSummary, pieces: BlackBoxPieces): Promise<boolean>;
  /** Oldest first. */
  list(): Promise<readonly BlackBoxEntry[]>;
  /** null: there is no such entry or file. */
  read(id: string, file: BlackBoxFile): Promise<string | null>;
  /** Saves that failed, and files that were left out. */
  dropped(): number;
}

export type PortVerdict =
  /** What listened when it was asked before still does, without a break, and belongs to its owner. */
  | 'same'
  /** It was not asked before, or another process listens there now; it belongs to its owner. Or nothing listens there. */
  | 'new'
  /** This system does not tell. */
  | 'unknown'
  /** A process of another user listens there. */
  | { readonly userId: number };

/** Which processes hold the ports of this machine. */
export interface PortOwners {
  /**
   * Of what a connection to `host`:`port` meets. A connection that was opened before an answer `new` may have met another
   * process: open another one, and ask again. Some microseconds while it says `same`, else about a millisecond.
   */
  check(host: string, port: number, owner: PortOwner): PortVerdict;
}

/** What is found out about an instance for a diagnosis (domain/diagnosis). Never rejects; what can't be told is null. */
export interface FactFinder {
  /**
   * The address at which a client of this machine reaches the instance's port, other than 127.0.0.1: `::1`, an address of
   * the host. null: 127.0.0.1 is right, or it listens nowhere, or that cannot be seen. Never rejects.
   */
  addressOf(process: ManagedProcess): Promise<string | null>;
  /** To which users its port must belong: its own, and the supervisor's; null: that cannot be seen. */
  ownerOf(process: ManagedProcess): PortOwner | null;
  /** The same with the users of what the instance has started (`sudo -u www node app.js`). Takes longer. Never rejects. */
  ownersOf(process: ManagedProcess): Promise<PortOwner | null>;
  /** Whether anything listens on that port of this machine; false where that cannot be seen. Takes about a millisecond. */
  isListening(port: number): boolean;
  /**
   * What listens on the instance's port and is no part of it: neither its process, nor what that has started, nor, in PM2's
   * cluster mode, the daemon. null: nothing does, or it cannot be seen. Never rejects.
   */
  foreignHolder(process: ManagedProcess): Promise<ForeignHolder | null>;
  /** Of one that runs and does not serve. Takes some seconds where it does not answer. */
  ofRunning(
    process: ManagedProcess,
    known: {
      readonly probe: ProbeSpec;
      readonly timeoutMs: number;
      /** Where it is asked. */
      readonly host: string;
      /** Ports of all listed instances: what PM2's daemon listens on for others. */
      readonly knownPorts: ReadonlySet<number>;
      /** What its agent says it listens on; null where there is no agent. */
      readonly listening: Listening | null;
    },
  ): Promise<Pick<RunningFacts, 'answer' | 'otherPaths' | 'otherHost' | 'listening' | 'holder' | 'log'>>;
  /** Of one that has ended. `startedAtMs` of it tells whether its log is of that life. */
  ofExit(id: InstanceId): Promise<Pick<ExitFacts, 'error' | 'holder' | 'log'>>;
}

export type KeptBuild = { readonly ok: true } | { readonly ok: false; readonly problem: string };

/** Copies of what services were started from: one a service, bounded in files and size. */
export interface BuildStore {
  /** Copies the code around that script, if nothing of it is newer than `startedAtMs`. Rejects where the disk does not answer. */
  keep(service: string, script: string, startedAtMs: number): Promise<KeptBuild>;
  /** Files and links that are no longer as they were kept; null when nothing is kept. Rejects where the disk does not answer. */
  differences(service: string): Promise<readonly string[] | null>;
  /**
   * Makes them so again. What lay there is copied to `aside` before, null when nothing lay there. Resolves with null when
   * nothing is kept; rejects with the file system's error.
   */
  putBack(
    service: string,
  ): Promise<{ readonly restored: readonly string[]; readonly aside: string | null } | null>;
}

/** What PM2 keeps of an instance's stderr. */
export interface StderrLog {
  /** Its last lines, at most some kilobytes; null when there are none. Never rejects. */
  lastLines(id: InstanceId): Promise<{ readonly path: string; readonly text: string } | null>;
}
