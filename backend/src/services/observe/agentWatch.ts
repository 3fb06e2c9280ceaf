/**
 * What is known of instances from inside, and what follows from it. Agents are known by pid; which instance that is,
 * PM2's list says. Per instance:
 *
 *   well ──its agent says that the main thread is blocked──────────────▶ hung
 *   well ──its agent is silent for 2 s and the kernel says: stopped────▶ stopped
 *   well ──requests grow older and none finishes (domain/health/stall)─▶ stalled
 *
 * Each is told to the health monitor, which withdraws the instance at once; what follows is what follows for any unfit
 * one. It comes back when probes pass again, a stalled one not before its requests finish or were given up. An agent that leaves is no
 * failure of its instance: probes go on. Nobody is judged while a debugger may hold it, or while it is asked to stop.
 */
import type { AgentFigures, AgentRecord, Hang } from '../../domain/agents/agent.js';
import type { Listening } from '../../domain/diagnosis/facts.js';
import { instanceKey } from '../../domain/model.js';
import type { FailureCause, InstanceId, ManagedProcess } from '../../domain/model.js';
import type { AgentPresence } from '../../domain/agents/agent.js';
import type { ServicePolicy } from '../../domain/policy.js';
import type { MetricsView } from '../../domain/views/controlPlane.js';
import type { AgentEvents, AgentLink, Clock, ProcessStates } from '../../ports.js';
import type { AgentMemory } from './agentMemory.js';
import { newPeer, type Condemned, type Peer } from './agentPeer.js';
import { AgentRecords } from './agentRecords.js';
import { isGivenUp } from '../../domain/health/stall.js';
import type { EventLog } from '../events/eventLog.js';
import type { HealthMonitor } from './healthMonitor.js';
import { SilenceWatch } from './silenceWatch.js';
import { StallWatch } from './stallWatch.js';

/** What has to be known of a service. */
interface WatchedService {
  readonly policy: ServicePolicy;
  /** Whether that one gets traffic. */
  isServing(process: ManagedProcess): boolean;
}

export interface AgentWatchOptions {
  readonly clock: Clock;
  readonly events: EventLog;
  readonly agents: AgentLink;
  readonly processStates: ProcessStates;
  readonly health: HealthMonitor;
  readonly find: (service: string) => WatchedService | undefined;
  /** An instance begins to stop, maybe because of a signal that did not come from PM2. */
  readonly onStopping: () => void;
}

/** Older figures say nothing about now. */
const FIGURES_VALID_MS = 2_000;
/** Beyond the time to stop: who is still there then, has not stopped. */
const STOP_SLACK_MS = 5_000;

export class AgentWatch {
  readonly #options: AgentWatchOptions;
  readonly #peers = new Map<number, Peer>();
  readonly #records = new AgentRecords();
  /** As PM2 lists them, by pid. */
  #processes: ReadonlyMap<number, ManagedProcess> = new Map();
  readonly #stalls = new StallWatch();
  readonly #silence: SilenceWatch;
  readonly #unsubscribes: readonly (() => void)[];

  constructor(options: AgentWatchOptions) {
    const { agents, clock } = options;
    this.#options = options;
    this.#silence = new SilenceWatch({
      clock,
      onSilent: (pid, silentMs) => this.#onSilent(pid, silentMs),
      onLook: () => this.#judgeLate(),
    });
    this.#unsubscribes = [
      agents.on('connected', (connected) => this.#onConnected(connected)),
      agents.on('figures', ({ pid, figures }) => this.#onFigures(pid, figures)),
      agents.on('hang', ({ pid, hang }) => this.#onHang(pid, hang)),
      agents.on('recovered', (recovered) => this.#onRecovered(recovered)),
      agents.on('attachment', ({ pid, attachment }) => {
        const memory = this.#peers.get(pid)?.memory ?? null;
        if (memory !== null) this.#records.attach(memory, attachment);
      }),
      agents.on('listening', ({ pid, listening }) => {
        const peer = this.#peers.get(pid);
        if (peer !== undefined) peer.listening = listening;
      }),
      agents.on('stopping', ({ pid, draining }) => this.#onStopping(pid, draining)),
      agents.on('gone', ({ pid }) => this.#onGone(pid)),
    ];
  }

  /** PM2's list: whose process is whose. */
  see(processes: readonly ManagedProcess[]): void {
    const running = processes.filter((process) => process.pid !== null);
    this.#processes = new Map(running.map((process) => [process.pid ?? 0, process]));
    let isNew = false;
    for (const peer of this.#peers.values()) isNew = this.#bind(peer) || isNew;
    // Whose settings it gets was not known before.
    if (isNew) this.#options.agents.refresh();
    this.#records.forgetEnded(new Set(running.map(instanceKey)), this.#options.clock.nowMs());
    this.#stalls.retain(new Set(processes.map(({ service }) => service)));
  }

  /** The service that a process belongs to; null when PM2 lists it as none of ours. */
  serviceOf(pid: number): string | null {
    return this.#processes.get(pid)?.service ?? null;
  }

  /** The latest look from inside; null without an agent, or when it is older than two seconds. */
  figures({ pid }: Pick<ManagedProcess, 'pid'>): AgentFigures | null {
    const latest = pid === null ? null : (this.#peers.get(pid)?.latest ?? null);
    return latest !== null && this.#options.clock.nowMs() - latest.atMs <= FIGURES_VALID_MS ? latest : null;
  }

  /** What a process listens on, by its agent; null without one. */
  listening({ pid }: Pick<ManagedProcess, 'pid'>): Listening | null {
    return pid === null ? null : (this.#peers.get(pid)?.listening ?? null);
  }

  /** The last minute of an instance, also for five minutes after its end; null when no agent ever told of it. */
  record(id: InstanceId): AgentRecord | null {
    return this.#records.record(id);
  }

  /** What was heard of a process since then (Clock.nowMs), oldest first; a minute at most. */
  figuresSince(pid: number, sinceMs: number): readonly AgentFigures[] {
    return this.#peers.get(pid)?.memory?.since(sinceMs) ?? [];
  }

  /** Of the socket that agents speak to. */
  counts(): MetricsView['agents'] {
    const { connected, refused, badLines, problem } = this.#options.agents.counts();
    return { connected, refused, badLines, problem };
  }

  presence({ pid }: Pick<ManagedProcess, 'pid'>): AgentPresence {
    if (pid === null || !this.#peers.has(pid)) return 'absent';
    return this.#silence.isSilent(pid) ? 'silent' : 'connected';
  }

  /** Whether a signal that a program handles would find nobody there: its main thread is blocked, or all of it stopped. */
  cannotReact({ pid }: Pick<ManagedProcess, 'pid'>): boolean {
    const peer = pid === null ? undefined : this.#peers.get(pid);
    if (peer?.process == null || peer.latest === null) return false;
    if (this.#silence.isSilent(peer.pid)) return this.#options.processStates.stateOf(peer.pid) === 'stopped';
    const { beatAgeMs, debugged } = peer.latest;
    return !debugged && beatAgeMs >= this.#hangTimeoutMs(peer.process.service);
  }

  /**
   * PM2's list, with those as `stopping` that finish their requests and will then end: PM2 knows of no signal but its
   * own.
   */
  withLeaving(listed: readonly ManagedProcess[]): readonly ManagedProcess[] {
    return listed.map((process) => {
      const peer = this.#peers.get(process.pid ?? 0);
      const isLeaving = peer?.stopping?.draining === true && this.#isStopping(peer);
      return isLeaving ? { ...process, status: 'stopping' } : process;
    });
  }

  close(): void {
    this.#silence.close();
    for (const unsubscribe of this.#unsubscribes) unsubscribe();
  }

  #onConnected({ pid, agentVersion, nodeVersion }: AgentEvents['connected']): void {
    const peer = newPeer(pid, { agent: agentVersion, node: nodeVersion });
    this.#peers.set(pid, peer);
    this.#silence.heard(pid);
    this.#bind(peer);
  }

  /** True when it has become known which instance it is. */
  #bind(peer: Peer): boolean {
    const process = this.#processes.get(peer.pid) ?? null;
    const before = peer.process;
    peer.process = process;
    if (process === null) {
      peer.memory = null;
      return false;
    }
    peer.lastListed = process;
    const key = instanceKey(process);
    if (before !== null && instanceKey(before) === key) return false;
    peer.memory = this.#records.of(process);
    peer.memory.introduce(peer.version);
    return true;
  }

  #onFigures(pid: number, figures: AgentFigures): void {
    const peer = this.#peers.get(pid);
    if (peer === undefined) return;
    this.#silence.heard(pid);
    const earlier = peer.latest;
    peer.latest = figures;
    peer.idleSinceMs = figures.unanswered > 0 ? null : (peer.idleSinceMs ?? figures.atMs);
    const { memory } = peer;
    if (memory === null) return;
    memory.push(figures);
    if (this.#isOver(peer, earlier, figures)) this.#resumed(peer);
    if (peer.condemned !== null) return;
    this.#stalls.learn(memory, earlier, figures);
    if (!this.#isStopping(peer)) this.#reviewStall(peer, memory, figures);
  }

  /** Whether these figures say that what it was condemned for is over. */
  #isOver(
    { condemned, process, idleSinceMs }: Peer,
    earlier: AgentFigures | null,
    now: AgentFigures,
  ): boolean {
    if (condemned === null || process === null) return false;
    switch (condemned.cause) {
      case 'hung':
        return now.beatAgeMs < this.#hangTimeoutMs(process.service) / 2;
      case 'stopped':
        return true;
      case 'stalled':
        return (earlier !== null && now.finished > earlier.finished) || isGivenUp(idleSinceMs, now.atMs);
    }
  }

  #reviewStall(peer: Peer, memory: AgentMemory, figures: AgentFigures): void {
    const { process } = peer;
    // One that drains gets nothing new: what is left there may take its time.
    if (process === null || this.#options.find(process.service)?.isServing(process) !== true) return;
    const verdict = this.#stalls.judge(memory, figures);
    if (verdict === null) return;
    if (verdict.action === 'condemn') this.#condemn(peer, 'stalled', verdict.detail, figures.atMs);
    else if (verdict.isNews) {
      this.#options.events.emit('service.stalled', { service: process.service, detail: verdict.detail });
    }
  }

  #onStopping(pid: number, draining: boolean): void {
    const peer = this.#peers.get(pid);
    if (peer === undefined) return;
    peer.stopping = { sinceMs: this.#options.clock.nowMs(), draining };
    this.#tellSuperseded(peer);
    this.#options.onStopping();
  }

  /** PM2's cluster mode shares a port among processes: a gateway has connections to one that stops, and can't know it. */
  #tellSuperseded({ pid, process, lastListed }: Peer): void {
    if (process !== null || lastListed === null) return;
    const { service, pmId, port } = lastListed;
    const isShared = [...this.#processes.values()].some(
      (other) => other.service === service && other.pmId === pmId && other.port === port,
    );
    if (!isShared || port === null) return;
    this.#options.events.emit('instance.superseded', { service, instance: { pmId, pid, port } });
  }

  #isStopping({ stopping, process }: Peer): boolean {
    if (stopping === null) return false;
    // PM2's own word: it is who kills, and what the agent goes by.
    return this.#options.clock.nowMs() - stopping.sinceMs < (process?.killTimeoutMs ?? 0) + STOP_SLACK_MS;
  }

  #hangTimeoutMs(service: string): number {
    return this.#options.find(service)?.policy.hangTimeoutMs ?? Infinity;
  }

  #onHang(pid: number, hang: Hang): void {
    const peer = this.#peers.get(pid);
    if (peer === undefined) return;
    peer.memory?.noteHang(hang);
    if (peer.condemned?.cause === 'hung' && peer.toldStackOf !== hang.hang) this.#tellHang(peer, hang);
    if (this.#isStopping(peer) || peer.latest?.debugged === true || peer.condemned !== null) return;
    if (this.#silence.isHeldUp()) peer.unjudged = hang;
    else this.#condemnHung(peer, hang);
  }

  #judgeLate(): void {
    for (const peer of this.#peers.values()) {
      const { unjudged } = peer;
      peer.unjudged = null;
      if (unjudged !== null) this.#condemnHung(peer, unjudged);
    }
  }

  #condemnHung(peer: Peer, hang: Hang): void {
    const { process } = peer;
    if (process === null) return;
    const detail = `${hang.detail}${this.#sharedCause(peer, process.service)}`;
    if (this.#condemn(peer, 'hung', detail, this.#options.clock.nowMs())) this.#tellHang(peer, hang);
  }

  #tellHang(peer: Peer, { hang, silentMs, where, stack, detail }: Hang): void {
    const { pid, process } = peer;
    if (process === null) return;
    if (stack.length > 0) peer.toldStackOf = hang;
    const { service, pmId, port } = process;
    const instance = { pmId, pid, port };
    const at = stack[0] ?? null;
    this.#options.events.emit('instance.hung', {
      service,
      instance,
      silentMs: Math.round(silentMs),
      where,
      at,
      detail,
    });
  }

  /** When all instances of a service hang together, replacing one after the other is not all there is to do. */
  #sharedCause(peer: Peer, service: string): string {
    const siblings = [...this.#peers.values()].filter(
      (other) => other !== peer && other.process?.service === service && !this.#isStopping(other),
    );
    if (siblings.length === 0 || !siblings.every(({ condemned }) => condemned?.cause === 'hung')) return '';
    return `; all ${siblings.length + 1} instances of ${service} hang: the cause is likely what they share, such as a request that each gets`;
  }

  #onSilent(pid: number, silentMs: number): void {
    const peer = this.#peers.get(pid);
    if (peer?.process == null || peer.condemned !== null) return;
    if (this.#isStopping(peer) || peer.latest?.debugged === true) return;
    const state = this.#options.processStates.stateOf(pid);
    if (state === 'stopped') {
      const detail = `the whole process is stopped (SIGSTOP, or a terminal's ^Z); its agent has been silent for ${(silentMs / 1_000).toFixed(1)} s`;
      this.#condemn(peer, 'stopped', detail, this.#options.clock.nowMs());
    } else if (state !== 'traced') {
      // It runs, or the platform does not tell: its own port knows.
      this.#options.health.probeNow(instanceKey(peer.process));
    }
  }

  #onRecovered({ pid, hang }: AgentEvents['recovered']): void {
    const peer = this.#peers.get(pid);
    if (peer === undefined) return;
    if (peer.unjudged?.hang === hang) peer.unjudged = null;
    if (peer.condemned?.cause === 'hung') this.#resumed(peer);
  }

  #onGone(pid: number): void {
    const peer = this.#peers.get(pid);
    this.#peers.delete(pid);
    this.#silence.forget(pid);
    // Nobody tells any more when its requests finish: probes are all there is.
    if (peer?.process != null) this.#options.health.release(instanceKey(peer.process));
  }

  /** False when that changed nothing. */
  #condemn(peer: Peer, cause: Condemned['cause'], detail: string, atMs: number): boolean {
    if (peer.process === null) return false;
    const judgement: { cause: FailureCause; detail: string; held: boolean } = {
      cause,
      detail,
      held: cause === 'stalled',
    };
    if (!this.#options.health.condemn(instanceKey(peer.process), judgement)) return false;
    peer.condemned = { cause, atMs };
    return true;
  }

  #resumed(peer: Peer): void {
    const { condemned, process } = peer;
    peer.condemned = null;
    if (condemned === null || process === null) return;
    const { clock, events, health } = this.#options;
    health.release(instanceKey(process));
    const { service, pmId, port } = process;
    events.emit('instance.resumed', {
      service,
      instance: { pmId, pid: peer.pid, port },
      from: condemned.cause,
      afterMs: Math.round(clock.nowMs() - condemned.atMs),
    });
  }
}
