/** What an agent says (backend/src/agent/protocol.ts), as it comes over the wire. */
import type { AgentFigures } from '../../backend/src/domain/agents/agent.js';

/** Of a process that is well. */
export const FIGURES = {
  type: 'figures',
  seq: 7,
  beatAgeMs: 12.5,
  elu: 0.25,
  delayP50Ms: 0.1,
  delayP99Ms: 3,
  delayMaxMs: 4,
  rssBytes: 60e6,
  heapUsedBytes: 20e6,
  heapLimitBytes: 2e9,
  liveHeapBytes: null,
  majorGcs: 0,
  externalBytes: 1e6,
  active: 3,
  unanswered: 2,
  oldestUnansweredMs: 120,
  unansweredOverdue: 0,
  sinceFinishedMs: 4,
  finished: 100,
  aborted: 1,
  statuses: [0, 99, 0, 1, 0],
  latency: [10, 5, 61, 1],
  latencySumMs: 77,
  connections: 9,
  debugged: false,
  dropped: 0,
};

/** The same as the supervisor keeps it. */
export function agentFigures(changes: Partial<AgentFigures> = {}): AgentFigures {
  const { type: _type, seq: _seq, elu, statuses: _statuses, ...same } = FIGURES;
  return { ...same, statuses: [0, 99, 0, 1, 0], eluPercent: 100 * elu, atMs: 0, ...changes };
}
