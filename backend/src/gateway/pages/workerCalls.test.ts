import { beforeEach, describe, expect, it } from 'vitest';
import type { OwnPageRequest } from '../shared/ownPages.js';
import { WorkerPages } from './workerPages.js';

const TOKEN = 'a-token-of-more-than-sixteen';
const OWN_USER = 1_000;

interface Caller {
  readonly peerAddress?: string;
  readonly host?: string;
  readonly method?: string;
  readonly path?: string;
  readonly passedOn?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly user?: number | null;
  readonly connection?: null;
  readonly body?: string | null;
  readonly token?: string | null;
}

let asked: string[] = [];
beforeEach(() => void (asked = []));

async function call(caller: Caller) {
  const { peerAddress = '127.0.0.1', headers = {}, user = OWN_USER, token = TOKEN } = caller;
  const pages = new WorkerPages({
    token,
    nowMs: () => 0,
    askPrimary: () => Promise.reject(new Error('no page is asked for')),
    health: () => ({ draining: false, pools: 1, emptyPools: 0 }),
    onRefused: () => undefined,
    calls: {
      peerUserId: () => Promise.resolve(user),
      ownUserId: OWN_USER,
      askPrimary: (path, body) => {
        asked.push(`${path} ${body}`);
        return Promise.resolve({ status: 200, lines: '', contentType: 'application/json', body: '{}' });
      },
    },
  });
  const request: OwnPageRequest = {
    method: caller.method ?? 'POST',
    path: caller.path ?? '/lb/upstreams',
    query: '',
    host: caller.host ?? '127.0.0.1:13003',
    clientAddress: peerAddress,
    peerAddress,
    secure: false,
    passedOn: caller.passedOn ?? false,
    requestId: 'r',
    connection: caller.connection === null ? null : { localPort: 13_003, remotePort: 5_000 },
    body: caller.body === undefined ? '{"host":"a","port":1}' : caller.body,
    header: (name) => headers[name] ?? null,
  };
  const { status, body } = await pages.answer(request);
  return [status, (JSON.parse(body) as { error?: { code: string } }).error?.code ?? 'done'] as const;
}

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const basic = (password: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`any:${password}`).toString('base64')}`,
});

describe('a call that changes upstreams', () => {
  it.each<[string, Caller, number, string]>([
    ['from the user of the gateway, here', {}, 200, 'done'],
    ['from root, here', { user: 0 }, 200, 'done'],
    ['through IPv6', { peerAddress: '::1', host: '[::1]:13003' }, 200, 'done'],
    ['to localhost', { host: 'localhost' }, 200, 'done'],
    ['where no token is set', { token: null }, 200, 'done'],
    [
      'from elsewhere with the token',
      { peerAddress: '10.0.0.9', host: 'lb.example', headers: bearer(TOKEN) },
      200,
      'done',
    ],
    [
      'from elsewhere with the token as password',
      { peerAddress: '10.0.0.9', headers: basic(TOKEN) },
      200,
      'done',
    ],
    ['passed on by a proxy, with the token', { passedOn: true, headers: bearer(TOKEN) }, 200, 'done'],
    ['from another user with the token', { user: 33, headers: bearer(TOKEN) }, 200, 'done'],

    ['from another user of this machine', { user: 33 }, 403, 'call.other-user'],
    ['from another user where no token is set', { user: 33, token: null }, 403, 'call.other-user'],
    ['from a user that is not known', { user: null }, 403, 'call.other-user'],
    ['in a stream of HTTP/2', { connection: null }, 403, 'call.other-user'],
    ['to an address that is no loopback one', { host: '203.0.113.7' }, 403, 'call.other-user'],
    ['to a name that points here (rebinding)', { host: 'evil.example' }, 401, 'auth.required'],
    ['to such a name where no token is set', { host: 'evil.example', token: null }, 403, 'page.local-only'],
    ['passed on by a proxy on this machine', { passedOn: true }, 401, 'auth.required'],
    ['passed on where no token is set', { passedOn: true, token: null }, 403, 'page.local-only'],
    ['from elsewhere', { peerAddress: '10.0.0.9' }, 401, 'auth.required'],
    [
      'from elsewhere where no token is set',
      { peerAddress: '10.0.0.9', token: null },
      403,
      'page.local-only',
    ],
    ['with a wrong token', { peerAddress: '10.0.0.9', headers: bearer('wrong') }, 401, 'auth.invalid'],
    ['with a wrong token, here', { headers: bearer('wrong') }, 401, 'auth.invalid'],

    ['from a page of another origin', { headers: { origin: 'http://evil.example' } }, 403, 'call.browser'],
    ['from a page of this origin', { headers: { origin: 'http://127.0.0.1:13003' } }, 403, 'call.browser'],
    ['from a page without an origin', { headers: { origin: 'null' } }, 403, 'call.browser'],
    [
      'from a browser that says no origin',
      { headers: { 'sec-fetch-site': 'cross-site' } },
      403,
      'call.browser',
    ],
    ['from a browser with the token', { headers: { origin: 'null', ...basic(TOKEN) } }, 403, 'call.browser'],
    ['with a body of another type', { headers: { 'content-type': 'text/plain' } }, 415, 'body.not-json'],
    [
      'with a body of a form with files',
      { headers: { 'content-type': 'multipart/form-data' } },
      415,
      'body.not-json',
    ],
    ['with a body that is too long', { body: null }, 413, 'body.too-large'],
    ['by another method', { method: 'PUT' }, 405, 'method.unknown'],
    ['by GET', { method: 'GET', path: '/lb/upstreams/drain' }, 405, 'method.unknown'],
  ])('%s', async (_, caller, status, code) => {
    expect(await call(caller)).toEqual([status, code]);
    expect(asked).toEqual(status === 200 ? [`/lb/upstreams {"host":"a","port":1}`] : []);
  });

  it('is not needed to look at the list: that is for every client that may see /lb', async () => {
    expect(await call({ method: 'GET', user: 33, body: '' })).toEqual([200, 'done']);
    expect(asked).toEqual(['/lb/upstreams null']);
    expect(await call({ method: 'GET', peerAddress: '10.0.0.9', body: '' })).toEqual([401, 'auth.required']);
  });
});
