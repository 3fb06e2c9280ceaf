import { describe, expect, it } from 'vitest';
import { agentFigures } from '../../../../test/support/agentFigures.js';
import type { Hang } from '../../domain/agents/agent.js';
import { AgentMemory, REMEMBERED_MS } from './agentMemory.js';

const remembering = (...times: readonly number[]): AgentMemory => {
  const memory = new AgentMemory({ service: 'shop', pmId: 1, startedAtMs: 0 });
  for (const atMs of times) memory.push(agentFigures({ atMs }));
  return memory;
};

const hang = (stack: readonly string[], number = 1): Hang => ({
  hang: number,
  silentMs: 1_000,
  where: 'javascript',
  stack,
  detail: 'blocked',
  requests: [],
});

describe('AgentMemory', () => {
  it('tells what came after a time, that moment left out, oldest first', () => {
    const memory = remembering(1_000, 1_250, 1_500, 1_750);
    expect(memory.since(1_250).map(({ atMs }) => atMs)).toEqual([1_500, 1_750]);
    expect(memory.since(0)).toHaveLength(4);
    expect(memory.since(1_750)).toEqual([]);
  });

  it('lets go of what is older than a minute', () => {
    const memory = remembering(0, 1, REMEMBERED_MS, REMEMBERED_MS + 1);
    expect(memory.since(-1).map(({ atMs }) => atMs)).toEqual([1, REMEMBERED_MS, REMEMBERED_MS + 1]);
  });

  it('keeps the stack of a silence, and forgets it for the next one', () => {
    const memory = remembering();
    memory.noteHang(hang(['blockHere']));
    memory.noteHang(hang([]));
    expect(memory.hang?.stack).toEqual(['blockHere']);
    memory.noteHang(hang([], 2));
    expect(memory.hang?.stack).toEqual([]);
  });
});
