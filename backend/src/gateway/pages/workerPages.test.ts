import { beforeEach, describe, expect, it } from 'vitest';

import { waitFor } from '../../../../test/support/waitFor.js';
import type { OwnAnswer } from '../shared/answer.js';
import type { OwnPageRequest } from '../shared/ownPages.js';
import type { PrimaryPath } from './ownPaths.js';
import { WorkerPages, type WorkerHealth, type WorkerPagesOptions } from './workerPages.js';

let asked: PrimaryPath[];
let nowMs: number;
let health: WorkerHealth;
let refused: string[];
beforeEach(() => {
  asked = [];
  nowMs = 0;
  refused = [];
  health = { draining: false, pools: 2, emptyPools: 0 };
});

const page = (body: string): OwnAnswer => ({ status: 200, lines: '', contentType: 'text/html', body });

function createPages(more: Partial<WorkerPagesOptions> = {}): WorkerPages {
  return new WorkerPages({
    token: 'right',
    askPrimary: async (path) => {
      asked.push(path);
      return page(`${path} ${asked.length}`);
    },
    health: () => health,
    onRefused: (code) => refused.push(code),
    nowMs: () => nowMs,
    ...more,
  });
}

const request = (path: string, more: Partial<OwnPageRequest> = {}): OwnPageRequest => ({
  method: 'GET',
  path,
  query: '',
  host: '127.0.0.1:13003',
  clientAddress: '127.0.0.1',
  peerAddress: '127.0.0.1',
  secure: false,
  passedOn: false,
  requestId: 'r',
  connection: null,
  body: '',
  header: () => null,
  ...more,
});
const elsewhere = { peerAddress: '203.0.113.9', clientAddress: '203.0.113.9', host: 'shop.example.org' };
const withToken = (token: string): Partial<OwnPageRequest> => ({
  ...elsewhere,
  header: (name) => (name === 'authorization' ? `Bearer ${token}` : null),
});

describe('which pages', () => {
  it('are the ones of the contract and nothing near them', () => {
    const pages = createPages();
    const own = ['/lb', '/lb/status', '/lb/reset', '/health', '/api/client-ip', '/status.html', '/metrics'];
    expect(own.every((path) => pages.handles(path))).toBe(true);
    const others = [
      '/',
      '/lb/',
      '/LB',
      '/lb/x',
      '/health/',
      '/api/client-ip/',
      '/status',
      '/metrics.html',
      '',
      '*',
    ];
    expect(others.some((path) => pages.handles(path))).toBe(false);
  });

  it('can only be read', async () => {
    const { status, lines } = await createPages().answer(request('/lb', { method: 'POST' }));
    expect([status, lines]).toEqual([405, expect.stringContaining('Allow: GET, HEAD\r\n')]);
  });
});

describe('what a worker answers itself', () => {
  it.each([
    [200, 'ok', { draining: false, pools: 2, emptyPools: 0 }],
    [200, 'degraded', { draining: false, pools: 2, emptyPools: 1 }],
    [503, 'unavailable', { draining: false, pools: 2, emptyPools: 2 }],
    [503, 'unavailable', { draining: false, pools: 0, emptyPools: 0 }],
    [503, 'draining', { draining: true, pools: 2, emptyPools: 0 }],
  ] as const)('/health: %i %s', async (status, word, state) => {
    health = state;
    const answer = await createPages().answer(request('/health', elsewhere));
    expect([answer.status, JSON.parse(answer.body)]).toEqual([status, { status: word }]);
    expect(answer.lines).toContain('no-store');
  });

  it('/api/client-ip: the client as found through trusted proxies', async () => {
    const { body } = await createPages().answer(
      request('/api/client-ip', { peerAddress: '10.0.0.1', clientAddress: '2001:db8::7' }),
    );
    expect(JSON.parse(body)).toEqual({ success: true, ip: '2001:db8::7' });
    expect(asked).toEqual([]);
  });
});

describe('who may see what', () => {
  it.each(['/lb', '/lb/status', '/metrics'])('%s is for this machine and for the token', async (path) => {
    const pages = createPages();
    expect((await pages.answer(request(path))).status).toBe(200);
    expect((await pages.answer(request(path, withToken('right')))).status).toBe(200);
    for (const other of [elsewhere, withToken('wrong'), { passedOn: true }, { host: 'evil.example' }]) {
      const { status, lines } = await pages.answer(request(path, other));
      expect([status, lines]).toEqual([401, expect.stringContaining('WWW-Authenticate: Bearer\r\n')]);
    }
    expect(asked).toEqual([path, path]);
    expect(refused).toEqual(['auth.required', 'auth.invalid', 'auth.required', 'auth.required']);
  });

  it('holds the refusal of a wrong token back, and accepts the right one at once meanwhile', async () => {
    const pages = createPages({ wrongTokenDelayMs: 60_000 });
    let answered = 0;
    for (let guess = 0; guess < 50; guess += 1) {
      const path = guess % 2 === 0 ? '/lb' : '/lb/status';
      void pages.answer(request(path, withToken(`guess-${guess}`))).then(() => (answered += 1));
    }
    expect((await pages.answer(request('/lb', withToken('right')))).status).toBe(200);
    expect((await pages.answer(request('/lb', elsewhere))).status).toBe(401);
    expect(answered).toBe(0);
    const hurried = createPages({ wrongTokenDelayMs: 1 });
    expect((await hurried.answer(request('/lb', withToken('wrong')))).status).toBe(401);
  });

  it('/status.html is for everybody', async () => {
    expect((await createPages().answer(request('/status.html', elsewhere))).status).toBe(200);
  });

  it('says what to do when there is no token at all', async () => {
    const { status, body } = await createPages({ token: null }).answer(request('/lb', elsewhere));
    expect([status, body]).toEqual([403, expect.stringContaining('Set HA_API_TOKEN')]);
  });
});

describe('asking the primary', () => {
  it('asks once for all who want the same page at the same time', async () => {
    const answers: ((answer: OwnAnswer) => void)[] = [];
    const pages = createPages({ askPrimary: () => new Promise((resolve) => answers.push(resolve)) });
    const visitors = Array.from({ length: 100 }, () => pages.answer(request('/lb')));
    await waitFor(() => answers.length > 0, { what: 'the question' });
    expect(answers).toHaveLength(1);
    answers[0]!(page('lb'));
    expect(new Set((await Promise.all(visitors)).map(({ body }) => body))).toEqual(new Set(['lb']));
  });

  it('keeps the public page for a second, and nothing else', async () => {
    const pages = createPages();
    for (nowMs = 0; nowMs < 3_000; nowMs += 100) await pages.answer(request('/status.html', elsewhere));
    expect(asked).toHaveLength(3);
    for (let i = 0; i < 3; i += 1) await pages.answer(request('/lb/status'));
    expect(asked).toHaveLength(6);
  });

  it.each<[string, WorkerPagesOptions['askPrimary']]>([
    ['never answers', () => new Promise(() => undefined)],
    ['is gone', () => Promise.reject(new Error('channel closed'))],
  ])('says so when the primary %s, and asks again next time', async (_why, askPrimary) => {
    let asks = 0;
    const pages = createPages({
      timeoutMs: 5,
      askPrimary: (path) => {
        asks += 1;
        return askPrimary(path);
      },
    });
    for (let i = 0; i < 2; i += 1) {
      const { status, body, lines } = await pages.answer(request('/status.html', elsewhere));
      expect([status, JSON.parse(body).error.code]).toEqual([503, 'page.unavailable']);
      expect(lines).toContain('Retry-After: 1');
    }
    expect(asks).toBe(2);
  });
});

describe('POST /lb/reset', () => {
  const reset = (more: Partial<OwnPageRequest> = {}): OwnPageRequest =>
    request('/lb/reset', { method: 'POST', ...more });
  const headers =
    (fields: Record<string, string>): OwnPageRequest['header'] =>
    (name) =>
      fields[name] ?? null;

  it('is carried out by the primary, for programs on this machine and for the token', async () => {
    const pages = createPages();
    expect((await pages.answer(reset())).status).toBe(200);
    expect((await pages.answer(reset(withToken('right')))).status).toBe(200);
    expect((await pages.answer(reset(elsewhere))).status).toBe(401);
    expect(asked).toEqual(['/lb/reset', '/lb/reset']);
  });

  it('leads a person back to the page', async () => {
    const header = headers({ accept: 'text/html', origin: 'http://127.0.0.1:13003' });
    const { status, lines } = await createPages().answer(reset({ header }));
    expect([status, lines]).toEqual([303, expect.stringContaining('Location: /lb\r\n')]);
  });

  it('is refused to a page of another origin, and to a method that reads', async () => {
    const pages = createPages();
    const foreign = await pages.answer(reset({ header: headers({ origin: 'http://evil.example' }) }));
    expect([foreign.status, JSON.parse(foreign.body).error.code]).toEqual([403, 'origin.foreign']);
    const { status, lines } = await pages.answer(request('/lb/reset'));
    expect([status, lines]).toEqual([405, expect.stringContaining('Allow: POST\r\n')]);
    expect([asked, refused]).toEqual([[], ['origin.foreign']]);
  });
});
