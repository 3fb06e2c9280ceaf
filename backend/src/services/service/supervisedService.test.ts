import { expect, test } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { policyOf } from '../../../../test/simulation/world.js';
import { recordedEvents } from '../../../../test/support/recordedEvents.js';
import { steadyHealth } from '../../../../test/support/steadyHealth.js';
import type { ManagedProcess } from '../../domain/model.js';
import { sampleOf } from '../../domain/scaling/window.js';
import { FailoverManager } from '../failoverManager.js';
import { SupervisedService } from './supervisedService.js';
import { TrafficFeed } from '../observe/trafficFeed.js';

const LIMIT_BYTES = 100;

const row = (pmId: number): ManagedProcess => ({
  service: 'shop',
  pmId,
  startedAtMs: pmId,
  pid: 100 + pmId,
  port: 4_000 + pmId,
  status: 'online',
  mode: 'fork',
  restarts: 0,
  createdAtMs: 0,
  killTimeoutMs: 10_000,
});

test('what is added up every second is what people are shown', async () => {
  const clock = new FakeClock();
  const policy = policyOf('shop', { memoryLimitBytes: LIMIT_BYTES });
  const failover = new FailoverManager({ clock, random: () => 0.5 });
  failover.supervise('shop', policy.failure);
  const health = steadyHealth(clock);
  const traffic = new TrafficFeed({ clock, events: recordedEvents(clock).log, onDrained: () => undefined });
  const service = new SupervisedService(policy, {
    clock,
    failover,
    health,
    traffic,
    agents: { presence: () => 'absent' },
    diagnostician: { of: () => null },
    startWarnings: () => [],
  });
  const [busy, idle, draining, starting] = [row(1), row(2), row(3), row(4)];
  service.see([busy!, idle!, draining!, starting!]);
  for (const one of [busy!, idle!, draining!]) health.track(one, policy.health, 'started');
  await clock.advance(500);
  service.leaving.drain(draining!, { sinceMs: 0, why: 'surplus' });
  service.measure(
    new Map([
      [101, { cpuPercent: 70, eluPercent: 90, memoryBytes: 60, backlogPercent: 5 }],
      [102, { cpuPercent: 10, eluPercent: null, memoryBytes: 20, backlogPercent: null }],
      [103, { cpuPercent: 50, eluPercent: 50, memoryBytes: 50, backlogPercent: 50 }],
    ]),
  );
  const sample = sampleOf(service.loads(), LIMIT_BYTES, 0);
  expect(sample).toMatchObject({ ready: 2, starting: 1, known: 2, demandPercent: 100, memoryPercent: 40 });
  expect(sample).toEqual(sampleOf(service.view().instances, LIMIT_BYTES, 0));
  health.close();
});
