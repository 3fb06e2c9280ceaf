/** Agents that say what a scenario makes them say, to whoever listens: a new supervisor has to be told anew. */
import { Emitter } from '../../backend/src/lib/emitter.js';
import type { AgentFigures } from '../../backend/src/domain/agents/agent.js';
import type { AgentEvents, AgentLink, AgentLinkCounts, ProcessStates } from '../../backend/src/ports.js';
import { agentFigures } from '../support/agentFigures.js';
import type { FakeClock } from './fakeClock.js';

export class FakeAgents implements AgentLink, ProcessStates {
  readonly #clock: FakeClock;
  readonly #emitter = new Emitter<AgentEvents>((error) => {
    throw error;
  });
  readonly #connected = new Map<number, { stop: () => void; figures: () => Partial<AgentFigures> }>();
  readonly states = new Map<number, ReturnType<ProcessStates['stateOf']>>();
  refreshed = 0;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  /** Four times a second from now on; `figures` says how it is, null that nothing is said. */
  connect(pid: number, figures: () => Partial<AgentFigures> | null = () => ({})): void {
    this.#emitter.emit('connected', { pid, agentVersion: '1.0.0', nodeVersion: 'v20.0.0' });
    let cancel = (): void => undefined;
    const say = (): void => {
      cancel = this.#clock.after(250, say);
      const now = figures();
      if (now === null) return;
      this.tell('figures', { pid, figures: agentFigures({ ...now, atMs: this.#clock.nowMs() }) });
    };
    this.#connected.set(pid, { stop: () => cancel(), figures: () => figures() ?? {} });
    say();
  }

  leave(pid: number): void {
    this.#connected.get(pid)?.stop();
    this.#connected.delete(pid);
    this.tell('gone', { pid });
  }

  tell<K extends keyof AgentEvents>(type: K, payload: AgentEvents[K]): void {
    this.#emitter.emit(type, payload);
  }

  hang(pid: number, hang = 1, detail = 'blocked for 1.0 s in spin (/app/server.js:3:1)'): void {
    const stack = ['spin (/app/server.js:3:1)', 'handle (/app/server.js:9:1)'];
    this.tell('hang', {
      pid,
      hang: { hang, silentMs: 1_000, where: 'javascript', stack, detail, requests: [] },
    });
  }

  // ── AgentLink, ProcessStates ──

  on<K extends keyof AgentEvents>(event: K, listener: (payload: AgentEvents[K]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  isConnected(pid: number): boolean {
    return this.#connected.has(pid);
  }

  refresh(): void {
    this.refreshed += 1;
  }

  counts(): AgentLinkCounts {
    return { connected: this.#connected.size, refused: 0, badLines: 0, replayed: 0, problem: null };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  stateOf(pid: number): ReturnType<ProcessStates['stateOf']> {
    return this.states.get(pid) ?? 'running';
  }
}
