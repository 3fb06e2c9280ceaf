/**
 * How busy instances are: from outside, what their processes have used, and from inside, where an agent tells. Both over
 * the same time, so that the busier of the two can be told. The kernel is asked for unread connections only while an
 * event loop is saturated: with time left, nothing waits for it.
 */
import { backlogPercentOf, COST_WINDOW_MS, isSaturated, RECENT_MS } from '../../domain/scaling/backlog.js';
import type { AgentFigures } from '../../domain/agents/agent.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { Clock, ConnectionMeter, ProcessFigures, ProcessMeter } from '../../ports.js';
import type { AgentWatch } from './agentWatch.js';

export interface InstanceFigures extends ProcessFigures {
  /** Event-loop utilisation since the sample before, 0–100; null without agent. */
  readonly eluPercent: number | null;
  /** See InstanceView. */
  readonly backlogPercent: number | null;
}

export interface LoadMeterOptions {
  readonly clock: Clock;
  readonly processMeter: ProcessMeter;
  readonly connectionMeter: ConnectionMeter;
  readonly agents: Pick<AgentWatch, 'figuresSince'>;
}

export class LoadMeter {
  readonly #options: LoadMeterOptions;
  #sampledMs = Number.NEGATIVE_INFINITY;

  constructor(options: LoadMeterOptions) {
    this.#options = options;
  }

  /** Of all of them, since the call before. By pid; a process that can't be read is absent. Never rejects. */
  async sample(processes: readonly ManagedProcess[]): Promise<ReadonlyMap<number, InstanceFigures>> {
    const { clock, processMeter, connectionMeter, agents } = this.#options;
    const nowMs = clock.nowMs();
    const sinceMs = this.#sampledMs;
    this.#sampledMs = nowMs;
    const running = processes.flatMap(({ pid, port, startedAtMs }) => {
      if (pid === null) return [];
      const inside = agents.figuresSince(pid, Math.min(sinceMs, nowMs - RECENT_MS));
      const eluPercent = meanEluPercent(inside, sinceMs);
      return [{ pid, port, startedAtMs, eluPercent, saturated: isSaturated(inside, nowMs) }];
    });
    const isAnySaturated = running.some(({ saturated }) => saturated === true);
    const [outside, unread] = await Promise.all([
      processMeter.sample(running),
      isAnySaturated ? connectionMeter.unread() : null,
    ]);
    return new Map(
      running.flatMap(({ pid, port, eluPercent, saturated }) => {
        const figures = outside.get(pid);
        if (figures === undefined) return [];
        const waiting = unread === null || port === null ? null : (unread.get(port) ?? 0);
        const backlogPercent = this.#backlogPercent(pid, saturated, waiting);
        return [[pid, { ...figures, eluPercent, backlogPercent }] as const];
      }),
    );
  }

  #backlogPercent(pid: number, saturated: boolean | null, unread: number | null): number | null {
    if (saturated !== true) return saturated === null ? null : 0;
    // What a request costs takes more figures than whether the loop is saturated.
    const nowMs = this.#sampledMs;
    return backlogPercentOf(this.#options.agents.figuresSince(pid, nowMs - COST_WINDOW_MS), unread, nowMs);
  }
}

function meanEluPercent(figures: readonly AgentFigures[], sinceMs: number): number | null {
  const since = figures.filter(({ atMs }) => atMs > sinceMs);
  if (since.length === 0) return null;
  return since.reduce((total, { eluPercent }) => total + eluPercent, 0) / since.length;
}
