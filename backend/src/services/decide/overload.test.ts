import { describe, expect, test } from 'vitest';
import { agentFigures } from '../../../../test/support/agentFigures.js';
import type { AgentFigures } from '../../domain/agents/agent.js';
import type { ManagedProcess } from '../../domain/model.js';
import { isOverloaded } from './overload.js';

const NOW_MS = 90_000;

const instance = (pmId: number): ManagedProcess => ({
  service: 'shop',
  pmId,
  pid: 100 + pmId,
  port: 4000 + pmId,
  startedAtMs: 1,
  createdAtMs: 1,
  killTimeoutMs: 10_000,
  status: 'online',
  mode: 'fork',
  restarts: 0,
});

function figures(eluPercent: number, finishedPerSecond: number, forMs = 60_000): AgentFigures[] {
  const count = forMs / 250;
  return Array.from({ length: count + 1 }, (_, i) =>
    agentFigures({
      atMs: NOW_MS - (count - i) * 250,
      eluPercent,
      delayP50Ms: eluPercent >= 100 ? 400 : 1,
      finished: Math.round((i * finishedPerSecond) / 4),
    }),
  );
}

const BUSY = figures(100, 20);
const IDLE = figures(10, 20);

/** Of the first one; `agents` by pm id. */
function judge(agents: Readonly<Record<number, AgentFigures[]>>, siblings: readonly number[]): boolean {
  const figuresSince = (pid: number, sinceMs: number): AgentFigures[] =>
    (agents[pid - 100] ?? []).filter(({ atMs }) => atMs > sinceMs);
  const services = new Map([['shop', { serving: () => siblings.map(instance) }]]);
  return isOverloaded(instance(0), { services, agents: { figuresSince } }, NOW_MS);
}

describe('a late probe says nothing', () => {
  test('of a lone instance that is saturated and finishes requests', () => {
    expect(judge({ 0: BUSY }, [0])).toBe(true);
  });

  test('where all instances are as busy; those without agent can not tell', () => {
    expect(judge({ 0: BUSY, 1: BUSY }, [0, 1, 2])).toBe(true);
  });
});

test('a late probe says nothing next to newcomers, who are idle still, but it does once they have been there', () => {
  expect(judge({ 0: BUSY, 1: figures(10, 20, 5_000), 2: BUSY }, [0, 1, 2])).toBe(true);
  expect(judge({ 0: BUSY, 1: figures(10, 20, 35_000), 2: BUSY }, [0, 1, 2])).toBe(false);
});

describe('a late probe counts', () => {
  test('of one that is alone in being busy', () => {
    expect(judge({ 0: BUSY, 1: IDLE }, [0, 1])).toBe(false);
  });

  test('of one in which nothing finishes', () => {
    expect(judge({ 0: figures(100, 0) }, [0])).toBe(false);
  });

  test('of one that has time left, or no agent', () => {
    expect(judge({ 0: IDLE }, [0])).toBe(false);
    expect(judge({}, [0])).toBe(false);
  });
});
