import { describe, expect, it } from 'vitest';
import type { AgentAttachment, AgentRecord } from '../../domain/agents/agent.js';
import type { InstanceId } from '../../domain/model.js';
import { AgentRecords } from './agentRecords.js';

const MOST_WITH_ATTACHMENTS = 32;

const idOf = (pmId: number): InstanceId => ({ service: 'shop', pmId, startedAtMs: 0 });

function recording(): {
  attach(pmId: number, content: unknown, kind?: AgentAttachment['kind']): void;
  contents(pmId: number): readonly unknown[];
} {
  const records = new AgentRecords();
  const record = (pmId: number): AgentRecord | null => records.record(idOf(pmId));
  return {
    attach: (pmId, content, kind = 'heap-profile') =>
      records.attach(records.of(idOf(pmId)), { kind, atWallMs: 0, content }),
    contents: (pmId) => record(pmId)?.attachments.map(({ content }) => content) ?? [],
  };
}

describe('attachments', () => {
  it('one instance that attaches again and again keeps its latest, and costs nobody else theirs', () => {
    const { attach, contents } = recording();
    attach(0, 'of another');
    for (let profile = 1; profile <= 3 * MOST_WITH_ATTACHMENTS; profile += 1) {
      attach(1, profile);
      expect(contents(1)).toEqual([profile]);
    }
    expect(contents(0)).toEqual(['of another']);
  });

  it('of more instances than that are dropped: those of whoever attached longest ago', () => {
    const { attach, contents } = recording();
    for (let pmId = 0; pmId < MOST_WITH_ATTACHMENTS; pmId += 1) attach(pmId, pmId);
    attach(0, 'again', 'report');
    attach(100, 'one more');
    expect(contents(0)).toEqual([0, 'again']);
    expect(contents(1)).toEqual([]);
    expect(contents(2)).toEqual([2]);
    expect(contents(100)).toEqual(['one more']);
  });
});
