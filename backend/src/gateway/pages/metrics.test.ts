import { beforeEach, expect, it } from 'vitest';

import { PagesScene } from '../../../../test/support/pagesScene.js';
import { gatewayFamilies, METRICS_CONTENT_TYPE, renderMetrics } from './metrics.js';

let scene: PagesScene;
beforeEach(() => {
  scene = new PagesScene();
});

const scrape = async (): Promise<string[]> =>
  (await renderMetrics(scene.monitor.status(), scene.monitor.ledger)).split('\n');
const valueOf = (lines: string[], series: string): number =>
  Number(
    lines
      .find((line) => line.startsWith(`${series} `))!
      .split(' ')
      .at(-1),
  );

it('shows gateway, pools and upstreams in base units', async () => {
  scene.pass(10);
  scene.setState('127.0.0.1:13006', 'down');
  const lines = await scrape();
  expect(METRICS_CONTENT_TYPE).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(lines).toEqual(
    expect.arrayContaining([
      'holdfast_gateway_build_info{version="1.2.3"} 1',
      'holdfast_gateway_workers{state="serving"} 2',
      'holdfast_gateway_worker_restarts_total 0',
      'holdfast_gateway_client_connections 168',
      'holdfast_gateway_refusals_total{code="head.malformed"} 6',
      'holdfast_gateway_pool_state{pool="shop-backend",state="degraded"} 1',
      'holdfast_gateway_pool_state{pool="shop-backend",state="up"} 0',
      'holdfast_gateway_pool_upstreams{pool="shop-backend",state="down"} 1',
      'holdfast_gateway_upstream_state{pool="shop-backend",upstream="127.0.0.1:13006",state="down"} 1',
      'holdfast_gateway_upstream_weight{pool="shop-frontend",upstream="127.0.0.1:13100"} 1',
      'holdfast_gateway_source_live{source="supervisor",pool="shop-backend"} 1',
      'holdfast_gateway_source_live{source="supervisor",pool="shop-frontend"} 1',
    ]),
  );
});

it('has no series twice', async () => {
  scene.pass(10);
  const series = (await scrape())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')));
  expect(series.length).toBeGreaterThan(100);
  expect(series.filter((each, at) => series.indexOf(each) !== at)).toEqual([]);
});

it('counts exactly, and pools are the sum of their upstreams', async () => {
  scene.pass(20);
  const lines = await scrape();
  const backend = scene.monitor.ledger.poolTotal('shop-backend').answers[1];
  const total = valueOf(lines, 'holdfast_gateway_pool_answers_total{pool="shop-backend",class="2xx"}');
  expect([total, total > 5_000]).toEqual([backend, true]);
  const sum = ['13004', '13005', '13006'].reduce(
    (all, port) =>
      all +
      valueOf(
        lines,
        `holdfast_gateway_upstream_answers_total{pool="shop-backend",upstream="127.0.0.1:${port}",class="2xx"}`,
      ),
    0,
  );
  expect(sum).toBe(backend);
});

it('has whole histograms: cumulative buckets that end in the count', async () => {
  scene.pass(20);
  const lines = await scrape();
  const name = 'holdfast_gateway_upstream_request_duration_seconds';
  const mine = lines.filter((line) => line.startsWith(`${name}_bucket`) && line.includes(':13004"'));
  const counts = mine.map((line) => Number(line.split(' ').at(-1)));
  expect(mine.at(-1)).toContain('le="+Inf"');
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  const labels = '{pool="shop-backend",upstream="127.0.0.1:13004"}';
  expect(valueOf(lines, `${name}_count${labels}`)).toBe(counts.at(-1));
  // 4 ms each, from 0.6 to 1.55 times as much.
  expect(valueOf(lines, `${name}_sum${labels}`) / counts.at(-1)!).toBeCloseTo(0.0043, 3);
  const upTo = (le: string): number => counts[mine.findIndex((line) => line.includes(`le="${le}"`))]!;
  expect([upTo('0.001'), upTo('0.01')]).toEqual([0, counts.at(-1)]);
});

it('leaves no series of an upstream that has left', async () => {
  scene.pass(2);
  const { snapshot, sources } = scene.facts;
  const pools = snapshot.pools.slice(1);
  scene.facts = { ...scene.facts, sources: sources.slice(1), snapshot: { ...snapshot, pools } };
  scene.traffic.splice(0, 3);
  scene.pass(2);
  expect((await scrape()).join('\n')).not.toContain('shop-backend');
});

it('keeps to the naming rules: own prefix, counters end in _total, base units, each with help', async () => {
  scene.pass(2);
  const lines = await scrape();
  const types = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ').slice(2));
  expect(types.length).toBeGreaterThan(20);
  expect(new Set(types.map(([name]) => name)).size).toBe(types.length);
  for (const [name = '', type] of types) {
    expect(name).toMatch(/^holdfast_gateway_[a-z_]+$/);
    expect(name).not.toMatch(/_(ms|percent|milliseconds)$/);
    expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter']);
    expect(lines.find((line) => line.startsWith(`# HELP ${name} `))?.length).toBeGreaterThan(name.length + 8);
  }
  expect(lines.join('\n')).not.toMatch(/NaN|null|undefined|secret/);
});

it('has the labels that it is documented with', async () => {
  scene.pass(2);
  const lines = await scrape();
  for (const { name, labels } of gatewayFamilies) {
    const sample = lines.find((each) => new RegExp(`^${name}(_bucket)?[{ ]`).test(each)) ?? '';
    const real = [...sample.matchAll(/[{,](\w+)=/g)]
      .map(([, label]) => label)
      .filter((label) => label !== 'le');
    expect([name, real]).toEqual([name, labels]);
  }
});
