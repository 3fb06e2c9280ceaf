/** One look from inside a healthy, idle instance. */
import type { AgentFigures } from '../../backend/src/domain/agents/agent.js';

export function agentFigures(changes: Partial<AgentFigures> = {}): AgentFigures {
  return {
    atMs: 0,
    beatAgeMs: 20,
    eluPercent: 5,
    delayP50Ms: 1,
    delayP99Ms: 3,
    delayMaxMs: 5,
    rssBytes: 80e6,
    heapUsedBytes: 20e6,
    heapLimitBytes: 512e6,
    liveHeapBytes: 15e6,
    majorGcs: 1,
    externalBytes: 2e6,
    active: 0,
    unanswered: 0,
    oldestUnansweredMs: null,
    unansweredOverdue: 0,
    sinceFinishedMs: 100,
    finished: 10,
    aborted: 0,
    statuses: [0, 10, 0, 0, 0],
    latency: [],
    latencySumMs: 0,
    connections: 1,
    debugged: false,
    dropped: 0,
    ...changes,
  };
}
