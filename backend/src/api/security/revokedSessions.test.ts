import { expect, it } from 'vitest';
import { silentLogger } from '../../../../test/support/recordedEvents.js';
import { RevokedSessions } from './revokedSessions.js';

const session = (n: number) => ({ id: `session-${n}`, startedAtMs: 1_000 * n });

it('knows what was revoked, and forgets it when it would have ended by itself', async () => {
  let saved: unknown = null;
  const store = {
    load: () => Promise.resolve({ state: saved }),
    save: (state: unknown) => Promise.resolve(void (saved = state)),
  };
  const revoked = new RevokedSessions(store, silentLogger);
  await revoked.load(0);
  await revoked.add(session(1), 5_000, 2_000);
  expect([revoked.has(session(1)), revoked.has(session(2))]).toEqual([true, false]);
  await revoked.add(session(2), 9_000, 6_000);
  expect(JSON.stringify(saved)).not.toContain('session-1');
});

it('ends older sessions rather than forgetting one that was revoked', async () => {
  const revoked = new RevokedSessions(null, silentLogger);
  for (let n = 1; n <= 1_005; n += 1) await revoked.add(session(n), 1e12, 0);
  for (const n of [1, 5, 6, 1_005]) expect(revoked.has(session(n))).toBe(true);
  expect(revoked.has({ id: 'never revoked', startedAtMs: 5_000 })).toBe(true);
  expect(revoked.has({ id: 'never revoked', startedAtMs: 1e9 })).toBe(false);
});

it('a store that cannot be written keeps no one from logging out', async () => {
  const problems: string[] = [];
  const store = {
    load: () => Promise.resolve({ state: null }),
    save: () => Promise.reject(new Error('the disk is full')),
  };
  const logger = {
    ...silentLogger,
    error: (_message: string, fields: unknown) => problems.push(JSON.stringify(fields)),
  };
  const revoked = new RevokedSessions(store, logger);
  await revoked.add(session(1), 1e12, 0);
  expect([revoked.has(session(1)), problems]).toEqual([true, ['{"problem":"the disk is full"}']]);
});
