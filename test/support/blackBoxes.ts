/** Summaries of black boxes for tests of those who keep them. */
import { blackBoxId } from '../../backend/src/domain/blackBox/blackBox.js';
import type { BlackBoxSummary } from '../../backend/src/domain/blackBox/blackBox.js';

/** @param second tells entries apart, and is their order. */
export function blackBoxSummary(second: number, changes: Partial<BlackBoxSummary> = {}): BlackBoxSummary {
  const at = new Date(1_767_323_045_000 + second * 1_000).toISOString();
  const { service = 'api', pmId = 1 } = changes;
  return {
    version: 1,
    id: blackBoxId({ service, pmId, startedAtMs: 0 }, at),
    service,
    pmId,
    pid: 101,
    port: 13_004,
    startedAt: '2026-01-02T03:04:04.000Z',
    at,
    ranMs: 1_000,
    cause: 'crashed',
    detail: 'left after 1.0 s with exit code 1',
    findings: [],
    decision: {
      by: 'exit',
      exitCode: 1,
      signal: null,
      lastProbe: null,
      attemptsUsed: 0,
      attemptsMax: 3,
      desired: 2,
      serving: 1,
    },
    outcome: null,
    hang: null,
    versions: { holdfast: '1.2.3', agent: null, node: null },
    stderrPath: null,
    omitted: [],
    before: [],
    after: [],
    ...changes,
  };
}
