import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { silentLogger } from '../../../../test/support/recordedEvents.js';
import type { ManagedProcess } from '../../domain/model.js';
import { acquirePidLock } from '../../lib/pidLock.js';
import { takeGatewayAlong } from './gatewayHandover.js';

let folder: string;
let started: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-handover-'));
  started = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const row = (service: string, pid: number | null): ManagedProcess => ({
  service,
  pmId: 0,
  startedAtMs: 1,
  pid,
  port: null,
  status: pid === null ? 'stopped' : 'online',
  mode: 'fork',
  restarts: 0,
  createdAtMs: 1,
  killTimeoutMs: 10_000,
});

const take = (processes: readonly ManagedProcess[]): Promise<void> =>
  takeGatewayAlong(
    {
      manager: {
        startInstance: (service) => {
          started.push(service);
          return Promise.resolve(row(service, 4711));
        },
      },
      lock: join(folder, 'gateway.lock'),
      logger: silentLogger,
    },
    processes,
  );

it('a gateway that survived gets a successor', async () => {
  await acquirePidLock(join(folder, 'gateway.lock'));
  await take([row('shop', 1)]);
  expect(started).toEqual(['ha-gateway']);
});

it('one that PM2 lists, resurrected or started already, does not', async () => {
  await acquirePidLock(join(folder, 'gateway.lock'));
  await take([row('ha-gateway', 7)]);
  expect(started).toEqual([]);
});

it('one that is listed without a process is not one that serves', async () => {
  await acquirePidLock(join(folder, 'gateway.lock'));
  await take([row('ha-gateway', null)]);
  expect(started).toEqual(['ha-gateway']);
});

it('where none ran, none is started', async () => {
  await take([]);
  const release = await acquirePidLock(join(folder, 'gateway.lock'));
  release?.();
  await take([]);
  expect(started).toEqual([]);
});
