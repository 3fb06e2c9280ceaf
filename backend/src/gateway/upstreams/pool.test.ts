import { expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { poolRow, upstreamRow } from '../../../../test/support/gatewayWorker.js';
import { Deadlines } from '../shared/deadlines.js';
import { DEFAULT_LIMITS } from '../shared/limits.js';
import { Pool } from './pool.js';

const rows = (...ports: number[]) => ports.map((port) => upstreamRow(port));

/** A pool that begins its turns with the first upstream whenever it builds its picker. */
function poolOf(...ports: number[]): Pool {
  const deadlines = new Deadlines(new FakeClock(), 10, () => undefined);
  return new Pool(poolRow(ports), DEFAULT_LIMITS, deadlines, 0, () => 0);
}

function turn(pool: Pool): number | null {
  const upstream = pool.lease(0, null, null);
  if (upstream !== null) pool.release(upstream, 'success');
  return upstream?.port ?? null;
}

it('goes on with its turns when a snapshot only says who is well', () => {
  const pool = poolOf(1, 2, 3);
  const turns: (number | null)[] = [];
  for (const away of [null, null, 3, null, null]) {
    const upstreams = rows(1, 2, 3).map((row) =>
      row.port === away ? { ...row, state: 'down' as const } : row,
    );
    pool.swap(poolRow([], { upstreams }), 0);
    turns.push(turn(pool));
  }
  // Every snapshot would otherwise begin with the first one again.
  expect(turns).toEqual([1, 2, 1, 2, 3]);
});

it('builds anew for another membership, order, weight or algorithm', () => {
  const pool = poolOf(1, 2);
  const after = (changes: Parameters<typeof poolRow>[1]): (number | null)[] => {
    pool.swap(poolRow([], { upstreams: rows(1, 2), ...changes }), 0);
    return [turn(pool), turn(pool), turn(pool), turn(pool)];
  };
  expect(after({})).toEqual([1, 2, 1, 2]);
  expect(after({ upstreams: rows(1, 2, 3) })).toEqual([1, 2, 3, 1]);
  expect(after({ upstreams: rows(3, 2, 1) })).toEqual([3, 2, 1, 3]);
  expect(after({ upstreams: [upstreamRow(1, { weight: 2 }), upstreamRow(2)] })).toEqual([1, 1, 2, 1]);
  expect(after({ algorithm: 'ip-hash' })[0]).not.toBeNull();
  expect(after({ upstreams: [] })).toEqual([null, null, null, null]);
  expect(after({ upstreams: rows(2) })).toEqual([2, 2, 2, 2]);
});
