import { expect, it } from 'vitest';
import type { GatewaySnapshot, UpstreamSnapshot } from '../../domain/upstreams/pool.js';
import { Publisher } from './publisher.js';
import type { PoolSettings } from './publisher.js';

const POOL: PoolSettings = {
  name: 'shop',
  algorithm: 'round-robin',
  hashOn: 'ip',
  slowStartMs: 0,
  sticky: null,
  retryBudget: { share: 0.2, min: 3 },
  retryUnsafe: false,
  ejection: { consecutiveFailures: 5, baseMs: 30_000, maxMs: 300_000, minHealthyShare: 0.5 },
};
const ROUTES = [{ host: null, pathPrefix: '/', pool: 'shop' }];
const row = (state: UpstreamSnapshot['state']): UpstreamSnapshot => ({
  id: 'a:1',
  host: 'a',
  port: 1,
  weight: 1,
  state,
  upSinceMs: 0,
});

function publishing() {
  const rows: UpstreamSnapshot[] = [];
  const troubles: string[] = [];
  const published: GatewaySnapshot[] = [];
  const publisher = new Publisher({
    routing: { routes: ROUTES, pools: [POOL] },
    rows: () => [...rows],
    troubleOf: () => troubles[0] ?? null,
    onSnapshot: (snapshot) => published.push(snapshot),
  });
  return { rows, troubles, published, publisher };
}

it('many changes in one turn make one snapshot', async () => {
  const { rows, published, publisher } = publishing();
  rows.push(row('down'));
  publisher.touch();
  rows[0] = row('up');
  publisher.touch();
  expect(published).toEqual([]);
  await Promise.resolve();
  expect(published).toEqual([{ version: 2, routes: ROUTES, pools: [{ ...POOL, upstreams: [row('up')] }] }]);
  expect(publisher.current).toBe(published[0]);
});

it('what looks the same is not given out again', async () => {
  const { rows, published, publisher } = publishing();
  publisher.touch();
  await Promise.resolve();
  expect(published).toEqual([]);
  rows.push(row('up'));
  publisher.touch();
  await Promise.resolve();
  publisher.touch();
  await Promise.resolve();
  expect(published.map(({ version }) => version)).toEqual([2]);
});

it('other settings make another snapshot, with the same upstreams', async () => {
  const { rows, published, publisher } = publishing();
  rows.push(row('up'));
  publisher.reconfigure({ routes: ROUTES, pools: [{ ...POOL, algorithm: 'random' }] });
  await Promise.resolve();
  expect(published).toMatchObject([{ version: 2, pools: [{ algorithm: 'random', upstreams: [row('up')] }] }]);
});

it('a pool says why none of its upstreams is up, and nothing while one is', async () => {
  const { rows, troubles, published, publisher } = publishing();
  const troubleNow = async (): Promise<string | undefined> => {
    publisher.touch();
    await Promise.resolve();
    return published.at(-1)?.pools[0]?.trouble;
  };
  rows.push(row('down'));
  expect(await troubleNow()).toBeUndefined();
  troubles[0] = 'nothing listens';
  expect(await troubleNow()).toBe('nothing listens');
  rows[0] = row('draining');
  expect(await troubleNow()).toBe('nothing listens');
  rows[0] = row('up');
  expect(await troubleNow()).toBeUndefined();
});
