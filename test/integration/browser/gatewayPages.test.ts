/** The gateway's pages in a real browser: how they look on a desk and on a phone, and that they live. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { renderPage } from '../../../backend/src/gateway/pages/primaryPages.js';
import { WorkerPages } from '../../../backend/src/gateway/pages/workerPages.js';
import { chromiumAvailable, launchBrowser } from '../../support/browser.js';
import { PagesScene } from '../../support/pagesScene.js';
import { servePages, type PagesServer } from '../../support/pagesServer.js';
import { waitFor } from '../../support/waitFor.js';

const SCREENS = [
  { width: 1440, height: 900 },
  { width: 820, height: 1000 },
  { width: 390, height: 844 },
];

describe.skipIf(!chromiumAvailable)('the pages of the gateway', () => {
  let browser: Browser;
  let scene: PagesScene;
  let server: PagesServer;
  let pages: Page[];
  /** Whatever the browser complained about. */
  let complaints: string[];
  let requests: string[];

  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());

  beforeEach(async () => {
    scene = new PagesScene();
    scene.pass(180);
    pages = [];
    complaints = [];
    requests = [];
    server = await serve();
  });
  afterEach(async () => {
    await Promise.all(pages.map((page) => page.context().close()));
    await server.close();
  });

  function serve(port = 0): Promise<PagesServer> {
    const workerPages = new WorkerPages({
      token: null,
      askPrimary: (path) => {
        requests.push(path);
        return renderPage(path, scene.monitor);
      },
      health: () => ({ draining: false, pools: 2, emptyPools: 0 }),
      onRefused: () => undefined,
      nowMs: () => performance.now(),
    });
    return servePages(workerPages, port);
  }

  async function open(path: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    pages.push(page);
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => void complaints.push(String(error)));
    await page.goto(`${server.url}${path}`);
    return page;
  }

  /** Things go wrong in every way that there is a form for. */
  function trouble(): void {
    const { snapshot, sources } = scene.facts;
    scene.setState('127.0.0.1:13006', 'down', 'HTTP 503, expected 200–399');
    scene.setState('127.0.0.1:13005', 'draining');
    scene.ejected.add('1 127.0.0.1:13004');
    const long = 'a-name-without-any-place-to-break-'.repeat(4);
    scene.facts = {
      ...scene.facts,
      snapshot: {
        ...scene.facts.snapshot,
        pools: [...scene.facts.snapshot.pools, { ...snapshot.pools[1]!, name: long, upstreams: [] }],
      },
      workerRestarts: 3,
      problems: [`${long} was refused`],
      sources: [...sources, { name: 'dns', pool: 'shop', state: 'stale', detail: `${long}: SERVFAIL` }],
    };
    scene.pass(3);
  }

  for (const viewport of SCREENS) {
    for (const colorScheme of ['light', 'dark'] as const) {
      describe(`at ${viewport.width} pixels, ${colorScheme}`, () => {
        it.each(['/lb', '/status.html'])('%s fits, in good times and in bad', async (path) => {
          const page = await open(path, { viewport, colorScheme });
          const widest = (): Promise<number> => page.evaluate('document.documentElement.scrollWidth');
          expect(await widest()).toBe(viewport.width);
          trouble();
          await page.reload();
          expect(await widest()).toBe(viewport.width);
          expect(await smallestContrast(page)).toBeGreaterThanOrEqual(4.5);
          expect(complaints).toEqual([]);
        });
      });
    }
  }

  it('/lb shows at once that an upstream went down, without a reload, and keeps what the reader selected', async () => {
    const page = await open('/lb');
    const loads: string[] = [];
    page.on('load', () => loads.push('load'));
    const row = page.getByRole('row', { name: /127\.0\.0\.1:13006/ });
    expect(await row.getByText('up', { exact: true }).count()).toBe(1);
    await page.evaluate('getSelection().selectAllChildren(document.querySelector("h2"))');
    scene.setState('127.0.0.1:13006', 'down', 'HTTP 503, expected 200–399');
    scene.pass(1);
    await row.getByText('HTTP 503, expected 200–399').waitFor({ timeout: 5_000 });
    await page.getByText('127.0.0.1:13006 in shop-backend is down').waitFor();
    await page.getByRole('heading', { name: 'Some pools are impaired' }).waitFor();
    expect(await page.evaluate('getSelection().toString()')).toBe('shop-backend');
    expect([loads, complaints]).toEqual([[], []]);
  });

  it('/lb says clearly that figures are old when the gateway does not answer, and recovers', async () => {
    const page = await open('/lb');
    const live = page.getByRole('status');
    await live.getByText('Live', { exact: true }).waitFor();
    const { port } = new URL(server.url);
    await server.close();
    await live.getByText(/^No answer from the gateway .*Figures are from/).waitFor({ timeout: 10_000 });
    expect(await page.evaluate('getComputedStyle(document.getElementById("view")).opacity')).toBe('0.45');
    server = await serve(Number(port));
    await live.getByText('Live', { exact: true }).waitFor({ timeout: 10_000 });
    expect(await page.evaluate('getComputedStyle(document.getElementById("view")).opacity')).toBe('1');
  });

  it('/lb asks for nothing while nobody looks', async () => {
    const page = await open('/lb');
    await page.clock.install();
    await page.reload();
    await page.clock.runFor(1_500);
    await waitFor(() => requests.length >= 3, { what: 'a second look' });
    // What a browser does when its tab is put in the background.
    await page.evaluate(`
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
      document.dispatchEvent(new Event('visibilitychange'));
    `);
    await page.getByText('Paused while hidden').waitFor();
    const asked = requests.length;
    await page.clock.runFor(30_000);
    expect(requests).toHaveLength(asked);
    await page.evaluate(`
      delete document.hidden;
      document.dispatchEvent(new Event('visibilitychange'));
    `);
    await page.getByText('Live', { exact: true }).waitFor();
  });

  it('/lb stays paused when the answer to its last look arrives after it was hidden', async () => {
    const page = await open('/lb');
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    await page.route('**/lb', async (route) => {
      await held;
      await route.continue();
    });
    await page.waitForRequest('**/lb');
    await page.evaluate(`
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
      document.dispatchEvent(new Event('visibilitychange'));
    `);
    const shown = page.getByText('Paused while hidden');
    await shown.waitFor();
    const answered = page.waitForResponse('**/lb');
    letGo();
    await (await answered).finished();
    // The answer is in the page once what it shows next has been drawn.
    await page.evaluate('new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))');
    expect(await shown.count()).toBe(1);
  });

  it.each(['/lb', '/status.html'])('%s shows everything without scripts', async (path) => {
    scene.setState('127.0.0.1:13100', 'down', 'refused');
    scene.trafficOf('127.0.0.1:13100').perSecond = 0;
    scene.pass(15);
    const page = await open(path, { javaScriptEnabled: false });
    await page.getByRole('heading', { level: 1 }).waitFor();
    const text = await page.locator('body').innerText();
    expect(text).toMatch(
      path === '/lb' ? /127\.0\.0\.1:13100[^]*down/ : /Shop frontend[^]*Not available right now/,
    );
  });

  it('has headings, names and roles that a screen reader can go by', async () => {
    const page = await open('/lb');
    expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1);
    expect(
      await page.getByRole('table', { name: 'Upstreams of shop-backend' }).getByRole('row').count(),
    ).toBe(4);
    expect(
      await page.getByRole('img', { name: /^Requests a second over the last two minutes/ }).count(),
    ).toBe(1);
    const narrow = await open('/lb', { viewport: SCREENS[2]! });
    expect(
      await narrow.getByRole('table', { name: 'Upstreams of shop-backend' }).getByRole('row').count(),
    ).toBe(4);
    const status = await open('/status.html');
    expect(await status.getByRole('img', { name: /^The last 24 hours/ }).count()).toBe(2);
  });
});

/** The lowest contrast between any text on the page and what is behind it (WCAG 2: 4.5 is enough). */
function smallestContrast(page: Page): Promise<number> {
  return page.evaluate(`(() => {
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => {
      const [R, G, B] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      return 0.2126 * R + 0.7152 * G + 0.0722 * B;
    };
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
        if (a === 1) return [r, g, b];
      }
      return [255, 255, 255];
    };
    let lowest = 21;
    for (const element of document.body.querySelectorAll('*')) {
      const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim() !== '');
      if (!hasText || element.closest('script, style, noscript')) continue;
      const [light, dark] = [luminance(parse(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => b - a);
      lowest = Math.min(lowest, (light + 0.05) / (dark + 0.05));
    }
    return lowest;
  })()`);
}
