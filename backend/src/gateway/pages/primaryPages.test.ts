import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';

import { PagesScene } from '../../../../test/support/pagesScene.js';
import { hashText } from '../../domain/balancing/hash.js';
import { markOf } from '../../domain/statistics/distinctCount.js';
import { isProblem, type OwnAnswer } from '../shared/answer.js';
import type { PrimaryPath } from './ownPaths.js';
import { renderPage } from './primaryPages.js';
import { gatewayStatusSchema, type GatewayStatus } from './statusSchema.js';

let scene: PagesScene;
beforeEach(() => {
  scene = new PagesScene();
  scene.pass(30);
});

async function pageOf(path: PrimaryPath): Promise<OwnAnswer> {
  const answer = await renderPage(path, scene.monitor);
  if (isProblem(answer)) throw new Error(answer.message);
  return answer;
}

describe('/lb/status', () => {
  it('is JSON of its schema, not to be kept', async () => {
    const { status, contentType, body, lines } = await pageOf('/lb/status');
    expect([status, contentType]).toEqual([200, 'application/json; charset=utf-8']);
    gatewayStatusSchema.parse(JSON.parse(body));
    expect(lines).toContain('Cache-Control: no-store\r\n');
  });
});

describe('the figures under their usual names', () => {
  const status = (): GatewayStatus => scene.monitor.status();

  it('are what the workers counted', () => {
    scene = new PagesScene();
    scene.trafficOf('127.0.0.1:13006').errors = 0.05;
    scene.pass(30);
    const { pools, ...all } = status();
    const [first, , third] = pools[0]!.upstreams;
    expect(all.totalRequests).toBeGreaterThan(30 * 250);
    expect(all.requestsPerSecond).toBeGreaterThan(250);
    expect(all.successRate).toBeGreaterThan(98);
    expect(all.successRate).toBeLessThan(100);
    expect(all.averageResponseTime).toBeGreaterThan(4);
    expect(all.averageResponseTime).toBeLessThan(8);
    expect(first).toMatchObject({ successRate: 100 });
    expect(third!.successRate).toBeLessThan(100);
    expect(third!.averageResponseTime).toBeGreaterThan(16);
    expect(third!.percentage).toBeCloseTo(20.4, 0);
    for (const { upstreams } of pools) {
      const sum = upstreams.reduce((total, { percentage }) => total + percentage!, 0);
      expect(sum).toBeCloseTo(100, 1);
    }
  });

  it('are null, not NaN, before there is anything, and no figure has the noise of fractions', () => {
    scene = new PagesScene();
    const { totalRequests, successRate, averageResponseTime, requestsPerSecond, pools } = status();
    expect([totalRequests, successRate, averageResponseTime, requestsPerSecond]).toEqual([
      0,
      null,
      null,
      null,
    ]);
    expect(pools[0]!.upstreams[0]).toMatchObject({
      percentage: null,
      successRate: null,
      averageResponseTime: null,
    });
    scene.pass(7);
    const noisy = JSON.stringify(status()).match(/\d\.\d{7,}/g);
    expect(noisy).toBeNull();
  });

  it('begin anew by a call; totals and Prometheus’s counters grow on', async () => {
    const counters = async (): Promise<Map<string, number>> => {
      const answer = await pageOf('/metrics');
      const lines = answer.body.split('\n').filter((line) => /^\w+(_total|_count)[{ ]/.test(line));
      return new Map(
        lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
      );
    };
    const before = { status: status(), counters: await counters() };
    const answer = await pageOf('/lb/reset');
    expect(JSON.parse(answer.body)).toEqual({
      success: true,
      data: { countedSince: status().countedSince },
    });
    expect(status()).toMatchObject({ totalRequests: 0, successRate: null, averageResponseTime: null });
    expect(status().pools[0]!.upstreams[0]).toMatchObject({ totalRequests: 0, percentage: null });
    expect(Date.parse(status().countedSince)).toBeGreaterThan(Date.parse(before.status.countedSince));
    expect(status().changes[0]!.text).toBe('The figures were reset');
    scene.pass(2);
    const after = status();
    expect(after.totalRequests).toBeGreaterThan(0);
    expect(after.totalRequests).toBeLessThan(before.status.totalRequests / 5);
    expect(after.traffic.answers['2xx']).toBeGreaterThan(before.status.traffic.answers['2xx']);
    for (const [name, value] of await counters()) {
      expect([name, value >= (before.counters.get(name) ?? 0)]).toEqual([name, true]);
    }
  });

  it('never go backwards when a worker is replaced', () => {
    const before = status();
    scene.monitor.workerGone(1);
    expect(status()).toMatchObject({
      totalRequests: before.totalRequests,
      averageResponseTime: before.averageResponseTime,
    });
    scene.facts = { ...scene.facts, workers: [{ ...scene.facts.workers[0]!, id: 9, pid: 109 }] };
    scene.pass(1);
    expect(status().totalRequests).toBeGreaterThan(before.totalRequests);
  });

  it('count sessions of the last half an hour, of all workers together', () => {
    const marks = (from: number, to: number): number[] =>
      Array.from({ length: to - from }, (_, index) => markOf(hashText(`session ${from + index}`)));
    const report = (worker: number, seen: number[]): void =>
      scene.monitor.report(worker, { ...scene.monitor.ledger.latest(worker)!, seen });
    report(1, marks(0, 20));
    report(2, marks(10, 40));
    expect(status().activeSessions).toBe(40);
    scene.elapsedMs += 32 * 60_000;
    expect(status().activeSessions).toBe(0);
  });
});

describe.each(['/lb', '/status.html'] as const)('%s', (path) => {
  it('runs only the style and script that its policy names, and they are in it to the byte', async () => {
    const { body, lines } = await pageOf(path);
    for (const [element, directive] of [
      ['style', 'style-src'],
      ['script', 'script-src'],
    ]) {
      const text = new RegExp(`<${element}>([^]*?)</${element}>`).exec(body)?.[1] ?? '';
      const hash = createHash('sha256').update(text).digest('base64');
      expect(text.length).toBeGreaterThan(500);
      expect(lines).toContain(`${directive} 'sha256-${hash}'`);
    }
    expect(body).not.toMatch(/ style="| on[a-z]+="/);
  });

  it('is there when nothing is served yet', async () => {
    scene.facts = {
      ...scene.facts,
      snapshot: { version: 0, routes: [], pools: [] },
      workers: [],
      sources: [],
    };
    const { status, body } = await pageOf(path);
    expect([status, body]).toEqual([
      200,
      expect.stringMatching(/No pool is configured|Nothing is served here yet/),
    ]);
  });

  it('says so when it can’t be rendered', async () => {
    scene.monitor.status = () => {
      throw new Error('a defect');
    };
    scene.monitor.publicStatus = scene.monitor.status as never;
    expect(await renderPage(path, scene.monitor)).toMatchObject({ status: 500, code: 'page.failed' });
  });
});

describe('/lb', () => {
  it('shows every upstream with state and reason, and what changed', async () => {
    scene.setState('127.0.0.1:13006', 'down', 'HTTP 503, expected <200>–399');
    scene.pass(1);
    const { body } = await pageOf('/lb');
    for (const port of [13004, 13005, 13006, 13100]) expect(body).toContain(`127.0.0.1:${port}`);
    expect(body).toContain('HTTP 503, expected &lt;200&gt;–399');
    expect(body).toContain('127.0.0.1:13006 in shop-backend is down');
    expect(body).not.toContain('secret');
  });

  it('says how long certificates are valid, and when one is overdue', async () => {
    const page = async (days: number): Promise<string> => {
      const endsAtMs = Date.parse(scene.monitor.status().at) + days * 86_400_000;
      scene.facts = { ...scene.facts, certificates: [{ name: 'a.pem', names: ['a.example'], endsAtMs }] };
      const { body } = await pageOf('/lb');
      return /<h2>Certificates<\/h2>[^]*?<\/section>/.exec(body)?.[0].replaceAll('\u202f', ' ') ?? '';
    };
    expect(await page(80)).toMatch(/shape up[^]*a\.example[^]*valid for 80 d/);
    expect(await page(13)).toMatch(/shape degraded[^]*valid for 13 d/);
    expect(await page(-1)).toMatch(/shape down[^]*has ended/);
  });

  it('shows a hundred upstreams of a huge pool, troubled ones first', async () => {
    const [first] = scene.facts.snapshot.pools;
    const upstreams = Array.from({ length: 1_000 }, (_, i) => ({
      ...first!.upstreams[0]!,
      id: `10.0.0.1:${10_000 + i}`,
      state: i === 999 ? ('down' as const) : ('up' as const),
    }));
    scene.facts = {
      ...scene.facts,
      snapshot: { ...scene.facts.snapshot, pools: [{ ...first!, upstreams }] },
    };
    const { body } = await pageOf('/lb');
    expect(body.match(/10\.0\.0\.1:\d+/g)!).toHaveLength(100);
    expect(body).toMatch(/900 more are in/);
    expect(body).toContain('10.0.0.1:10999');
  });
});

describe('/status.html', () => {
  it('tells nothing of the inside', async () => {
    scene.setState('127.0.0.1:13006', 'down', 'HTTP 503');
    scene.facts = { ...scene.facts, problems: ['a problem of the inside'] };
    scene.pass(3);
    const { body } = await pageOf('/status.html');
    expect(body).toContain('Shop backend');
    expect(body).not.toMatch(
      /127\.0\.0\.1|1300\d|13100|least-connections|1\.2\.3|HTTP 503|of the inside|example\.org|\b10[12]\b/,
    );
  });

  it.each([
    ['Everything is working', 'Working', 'up'],
    ['Some things are not working as they should', 'Not available right now', 'down'],
  ] as const)('says in plain words: %s', async (headline, words, state) => {
    scene.setState('127.0.0.1:13100', state);
    scene.trafficOf('127.0.0.1:13100').perSecond = state === 'up' ? 40 : 0;
    scene.pass(15);
    const { body } = await pageOf('/status.html');
    expect(body).toContain(headline);
    expect(body).toContain(words);
  });

  it('says out of service when nothing is up', async () => {
    for (const traffic of scene.traffic) {
      traffic.perSecond = 0;
      scene.setState(traffic.id, 'down');
    }
    scene.pass(400);
    const { body } = await pageOf('/status.html');
    expect(body).toContain('Out of service');
    expect(body).toContain('Not available in the last minutes');
  });

  it('may be kept by caches for a moment, and is loaded again every 5 s', async () => {
    const { lines, body } = await pageOf('/status.html');
    expect(lines).toContain('max-age=2,');
    expect(body).toContain('<noscript><meta http-equiv="refresh" content="5" /></noscript>');
    expect(body).toContain('periodMs: 5_000');
  });
});
