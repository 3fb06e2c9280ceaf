import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';

import { PagesScene } from '../../../../test/support/pagesScene.js';
import { renderPage } from './primaryPages.js';
import { gatewayStatusSchema } from './statusSchema.js';

let scene: PagesScene;
beforeEach(() => {
  scene = new PagesScene();
  scene.pass(30);
});

describe('/lb/status', () => {
  it('is JSON of its schema, not to be kept', async () => {
    const { status, contentType, body, lines } = await renderPage('/lb/status', scene.monitor);
    expect([status, contentType]).toEqual([200, 'application/json; charset=utf-8']);
    gatewayStatusSchema.parse(JSON.parse(body));
    expect(lines).toContain('Cache-Control: no-store\r\n');
  });
});

describe.each(['/lb', '/status.html'] as const)('%s', (path) => {
  it('runs only the style and script that its policy names, and they are in it to the byte', async () => {
    const { body, lines } = await renderPage(path, scene.monitor);
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
    const { status, body } = await renderPage(path, scene.monitor);
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
    const { body } = await renderPage('/lb', scene.monitor);
    for (const port of [13004, 13005, 13006, 13100]) expect(body).toContain(`127.0.0.1:${port}`);
    expect(body).toContain('HTTP 503, expected &lt;200&gt;–399');
    expect(body).toContain('127.0.0.1:13006 in wordpecker-backend is down');
    expect(body).not.toContain('secret');
  });

  it('says how long certificates are valid, and when one is overdue', async () => {
    const page = async (days: number): Promise<string> => {
      const endsAtMs = Date.parse(scene.monitor.status().at) + days * 86_400_000;
      scene.facts = { ...scene.facts, certificates: [{ name: 'a.pem', names: ['a.example'], endsAtMs }] };
      const { body } = await renderPage('/lb', scene.monitor);
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
    const { body } = await renderPage('/lb', scene.monitor);
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
    const { body } = await renderPage('/status.html', scene.monitor);
    expect(body).toContain('Wordpecker backend');
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
    const { body } = await renderPage('/status.html', scene.monitor);
    expect(body).toContain(headline);
    expect(body).toContain(words);
  });

  it('says out of service when nothing is up', async () => {
    for (const traffic of scene.traffic) {
      traffic.perSecond = 0;
      scene.setState(traffic.id, 'down');
    }
    scene.pass(400);
    const { body } = await renderPage('/status.html', scene.monitor);
    expect(body).toContain('Out of service');
    expect(body).toContain('Not available in the last minutes');
  });

  it('may be kept by caches for some seconds', async () => {
    expect((await renderPage('/status.html', scene.monitor)).lines).toContain('max-age=10');
  });
});
