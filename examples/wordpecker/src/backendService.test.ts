import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../../../test/support/sample.js';
import { backend } from './backendService.js';
import { startInProcess } from './lib/testing/startInProcess.js';

let service: Awaited<ReturnType<typeof startInProcess>>;
beforeAll(async () => {
  service = await startInProcess(backend, { HOLDFAST_INSTANCE: '3' });
});
afterAll(() => service.stop());

const api = (method: string, path: string, body?: unknown, headers = {}) =>
  call(method, `${service.url}/api${path}`, body, headers);

describe('word lists', () => {
  it('are made, read, changed and deleted', async () => {
    const made = await api('POST', '/lists', { name: '  Spanish ' });
    expect(made).toMatchObject({
      status: 201,
      body: { success: true, data: { name: 'Spanish', description: '' } },
    });
    const path = `/lists/${made.body.data.id}`;
    expect(made.headers.get('location')).toBe(`/api${path}`);
    const words = [
      { term: 'casa', meaning: 'house' },
      { term: 'perro', meaning: 'dog' },
    ];
    expect((await api('POST', `${path}/words`, { words })).body.data.words).toMatchObject(words);
    expect((await api('POST', `${path}/words`, { term: 'gato', meaning: 'cat' })).status).toBe(201);
    expect((await api('PUT', path, { description: 'one' })).body.data).toMatchObject({
      name: 'Spanish',
      description: 'one',
    });
    const found = await api('GET', path);
    expect(found.body.data.words.map(({ term }: { term: string }) => term)).toEqual([
      'casa',
      'gato',
      'perro',
    ]);
    expect((await api('DELETE', `${path}/words/${found.body.data.words[0].id}`)).status).toBe(204);
    expect((await api('GET', '/lists?limit=1')).body.data).toMatchObject({
      total: 1,
      limit: 1,
      offset: 0,
      lists: [{ name: 'Spanish', wordCount: 2 }],
    });
    expect((await api('GET', `${path}/quiz?questions=1`)).body.data.questions).toHaveLength(1);
    expect((await api('DELETE', path)).status).toBe(204);
    expect((await api('GET', path)).status).toBe(404);
  });

  it('carry the name of who is logged in', async () => {
    const login = await api('POST', '/login', { user: 'Ana' });
    const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
    expect((await api('GET', '/me', undefined, { cookie })).body.data.user).toBe('Ana');
    expect((await api('GET', '/me')).body.data.user).toBeNull();
    const made = await api('POST', '/lists', { name: 'hers' }, { cookie });
    expect(made.body.data.owner).toBe('Ana');
    expect((await api('POST', '/logout', undefined, { cookie })).headers.get('set-cookie')).toMatch(
      /Max-Age=0/,
    );
  });

  it.each([
    ['POST', '/lists', {}, 400, 'request.invalid'],
    ['POST', '/lists', { name: ' ' }, 400, 'request.invalid'],
    ['POST', '/lists', { name: 'x', extra: 1 }, 400, 'request.invalid'],
    ['POST', '/lists', undefined, 400, 'request.invalid'],
    ['POST', '/lists', { name: 'x'.repeat(81) }, 400, 'request.invalid'],
    ['POST', '/lists', { name: 'x', description: 'y'.repeat(70_000) }, 413, 'request.invalid'],
    ['GET', '/lists?limit=0', undefined, 400, 'request.invalid'],
    ['GET', '/lists?offset=-1', undefined, 400, 'request.invalid'],
    ['GET', '/lists?limit=1&limit=2', undefined, 400, 'request.invalid'],
    ['GET', '/lists/none', undefined, 404, 'list.unknown'],
    ['GET', '/lists/none/quiz', undefined, 404, 'list.unknown'],
    ['PUT', '/lists/none', { name: 'x' }, 404, 'list.unknown'],
    ['PUT', '/lists/none', {}, 400, 'request.invalid'],
    ['DELETE', '/lists/none', undefined, 404, 'list.unknown'],
    ['POST', '/lists/none/words', { term: 'a', meaning: 'b' }, 404, 'list.unknown'],
    ['POST', '/lists/none/words', { words: [] }, 400, 'request.invalid'],
    ['POST', '/lists/none/words', [1], 400, 'request.invalid'],
    ['DELETE', '/lists/none/words/none', undefined, 404, 'word.unknown'],
    ['POST', '/login', { user: '' }, 400, 'request.invalid'],
    ['GET', '/nothing', undefined, 404, 'route.unknown'],
    ['PATCH', '/lists', { name: 'x' }, 404, 'route.unknown'],
  ])('%s %s %j is refused with %i %s', async (method, path, body, status, code) => {
    const answer = await api(method, path, body);
    expect(answer).toMatchObject({ status, body: { success: false, error: { code } } });
    expect(answer.body.error.message).not.toBe('');
  });

  it('refuses a body that is not JSON', async () => {
    const response = await fetch(`${service.url}/api/lists`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"name":',
    });
    expect(response.status).toBe(400);
  });

  it('refuses words beyond a thousand, and keeps those it has', async () => {
    const { id } = (await api('POST', '/lists', { name: 'long' })).body.data;
    const words = (part: number) =>
      Array.from({ length: 100 }, (_, n) => ({ term: `${part}-${n}`, meaning: 'm' }));
    for (let part = 0; part < 10; part += 1) await api('POST', `/lists/${id}/words`, { words: words(part) });
    expect(await api('POST', `/lists/${id}/words`, { term: 'one', meaning: 'more' })).toMatchObject({
      status: 422,
      body: { error: { code: 'list.full' } },
    });
    expect((await api('GET', `/lists/${id}`)).body.data.words).toHaveLength(1000);
  });
});

describe('status', () => {
  it('answers every depth of health', async () => {
    expect((await call('GET', `${service.url}/healthz`)).body.status).toBe('ok');
    expect(await call('GET', `${service.url}/health`)).toMatchObject({
      status: 200,
      body: { status: 'ok', service: 'wordpecker-backend' },
    });
    expect(await api('GET', '/health')).toMatchObject({
      status: 200,
      body: { success: true, status: 'healthy', checks: [{ name: 'database', status: 'up' }] },
    });
  });

  it('says who it is', async () => {
    const { body } = await api('GET', '/status');
    expect(body).toMatchObject({ success: true, name: 'wordpecker-backend', pid: process.pid, instance: 3 });
    expect(body.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(body.requestsInFlight).toBeGreaterThanOrEqual(1);
  });

  it('says who asks', async () => {
    expect((await api('GET', '/client-ip')).body).toEqual({ success: true, ip: '127.0.0.1' });
    const forwarded = await api('GET', '/client-ip', undefined, {
      'x-forwarded-for': '6.6.6.6, 198.51.100.9',
    });
    expect(forwarded.body.ip).toBe('198.51.100.9');
  });

  it('has no fault switches unless they were asked for', async () => {
    for (const path of [
      '/debug/burn?ms=1&percent=1',
      '/debug/block?ms=1',
      '/debug/exit?code=0',
      '/debug/leak',
    ]) {
      expect((await call('POST', service.url + path)).status).toBe(404);
    }
    expect((await call('GET', `${service.url}/debug/slow?ms=1`)).status).toBe(404);
    expect((await call('POST', `${service.url}/debug/health?status=500`)).status).toBe(404);
    expect((await call('GET', `${service.url}/health`)).status).toBe(200);
  });
});

describe('in a browser', () => {
  const CHROME = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
  const open = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${service.url}${path}`, { headers: { accept: CHROME, ...headers } });

  it('/ says that it runs and which instance answered; through a gateway it leads to that, too', async () => {
    const direct = await open('/');
    expect([direct.status, direct.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const page = await direct.text();
    expect(page).toContain(`Instance 3, process ${process.pid}`);
    expect(page).not.toMatch(/href="\/(lb|app)"/);
    const through = await (await open('/', { via: '1.1 holdfast' })).text();
    expect(through).toContain('href="/lb"');
  });

  it('/ is JSON for every other client', async () => {
    const { headers, body } = await call('GET', `${service.url}/`);
    expect(body).toMatchObject({ success: true, instance: 3, pid: process.pid });
    expect(headers.get('vary')).toBe('Accept');
  });

  it.each([
    [404, 'route.unknown', '/nothing<script>'],
    [404, 'list.unknown', '/api/lists/none'],
    [400, 'request.invalid', '/api/lists?limit=0'],
  ])('an error is a page: %i %s', async (status, code, path) => {
    const answer = await open(path);
    const page = await answer.text();
    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'text/html; charset=utf-8']);
    expect(answer.headers.get('vary')).toBe('Accept');
    expect(page).toContain(`code <code>${code}</code>`);
    expect(page).not.toContain('<script>');
  });
});
