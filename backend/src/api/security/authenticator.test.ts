import { afterEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../domain/errors.js';
import { createApi } from '../api.js';
import { startHarness, until } from '../testing/harness.js';
import type { CallOptions, Harness, HarnessOptions } from '../testing/harness.js';
import { MemoryControlPlane } from '../testing/memoryControlPlane.js';

const TOKEN = 'correct horse battery staple'.replaceAll(' ', '-');
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

let harness: Harness;
afterEach(() => harness.close());

async function start(options: HarnessOptions = {}): Promise<Harness> {
  harness = await startHarness({
    ...options,
    limits: { wrongTokenDelayMs: 1, ...options.limits },
    settings: { token: TOKEN, sessionSecret: 'signing secret', ...options.settings },
  });
  return harness;
}

async function codeOf(method: string, path: string, options?: CallOptions): Promise<string | number> {
  const { status, json } = await harness.call(method, path, options);
  return json.success ? status : (json.error?.code ?? 'no code');
}

describe('with a token', () => {
  it('every call but the public ones needs it, unknown ones too', async () => {
    await start();
    const publicCalls = new Set(['get /healthz', 'get /readyz', 'post /api/session', 'delete /api/session']);
    for (const { method, path } of harness.api.routes) {
      const { status, headers } = await harness.call(method.toUpperCase(), path);
      const isPublic = publicCalls.has(`${method} ${path}`);
      expect([method, path, status === 401]).toEqual([method, path, !isPublic]);
      if (!isPublic) expect(headers['www-authenticate']).toBe('Bearer realm="holdfast"');
    }
    expect(await codeOf('GET', '/nope')).toBe('auth.required');
    expect(await codeOf('PUT', '/api/ha/stop')).toBe('auth.required');
    expect(await codeOf('GET', '/Healthz')).toBe('auth.required');
    expect(harness.controlPlane.calls).toEqual([]);
  });

  it('the right one passes; wrong ones do not', async () => {
    await start();
    expect(await codeOf('GET', '/api/ha/status', { headers: bearer(TOKEN) })).toBe(200);
    expect(await codeOf('GET', '/api/ha/status', { headers: { authorization: `bearer ${TOKEN}` } })).toBe(
      200,
    );
    for (const wrong of [`${TOKEN}x`, TOKEN.slice(1), TOKEN.toUpperCase()]) {
      expect(await codeOf('GET', '/api/ha/status', { headers: bearer(wrong) })).toBe('auth.invalid');
    }
    for (const authorization of [
      '',
      'Bearer',
      'Bearer ',
      `Basic ${TOKEN}`,
      TOKEN,
      `Bearer ${TOKEN} ${TOKEN}`,
    ]) {
      expect(await codeOf('GET', '/api/ha/status', { headers: { authorization } })).toBe('auth.required');
    }
  });

  it('the right one is accepted at once while wrong ones come from the same address', async () => {
    await start({ limits: { wrongTokenDelayMs: 60_000 } });
    const answered: string[] = [];
    for (let guess = 0; guess < 40; guess += 1) {
      const token = `guess-${guess}`;
      const call =
        guess % 2 === 0
          ? codeOf('GET', '/api/ha/status', { headers: bearer(token) })
          : codeOf('POST', '/api/session', { body: { token } });
      void call.then(
        (code) => answered.push(String(code)),
        () => answered.push('cut'),
      );
    }
    await until('all guesses are there', () => harness.log.some(({ level }) => level === 'warn'));
    const beganMs = performance.now();
    expect(await codeOf('GET', '/api/ha/status', { headers: bearer(TOKEN) })).toBe(200);
    expect(await codeOf('POST', '/api/session', { body: { token: TOKEN } })).toBe(200);
    expect(performance.now() - beganMs).toBeLessThan(1_000);
    expect(answered).toEqual([]);
  });

  it('a wrong one costs its connection time and then the connection, and the log one line', async () => {
    await start({ limits: { wrongTokenDelayMs: 150 } });
    for (const guess of ['one', 'two', 'three']) {
      const beganMs = performance.now();
      const { status, headers } = await harness.call('GET', '/api/ha/status', { headers: bearer(guess) });
      expect([status, headers.connection, headers['retry-after']]).toEqual([401, 'close', undefined]);
      expect(performance.now() - beganMs).toBeGreaterThan(140);
    }
    const warnings = harness.log.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ fields }) => fields)).toEqual([{ remoteAddress: '127.0.0.1' }]);
    expect(JSON.stringify(harness.log)).not.toMatch(/one|two|three/);
  });
});

describe('a browser session', () => {
  const cookieOf = (setCookie: readonly string[] | undefined) => ({
    cookie: setCookie?.[0]?.split(';')[0] ?? '',
  });

  it('starts with the token, works, and ends', async () => {
    await start();
    const login = await harness.call('POST', '/api/session', { body: { token: TOKEN } });
    expect(login.json.data.authenticated).toBe(true);
    expect(Date.parse(login.json.data.expiresAt) - Date.now()).toBeGreaterThan(11.9 * 3_600_000);
    const headers = cookieOf(login.headers['set-cookie']);
    const use = await harness.call('POST', '/api/ha/stop', { headers });
    expect([use.status, use.headers['set-cookie']]).toEqual([200, undefined]);
    const logout = await harness.call('DELETE', '/api/session', { headers });
    expect(logout.json.data).toEqual({ authenticated: false, expiresAt: null });
    expect(logout.headers['set-cookie']?.[0]).toMatch(/^holdfast_session=; .*Max-Age=0/);
  });

  it('is not given for a wrong token, and a forged one is none', async () => {
    await start();
    expect(await codeOf('POST', '/api/session', { body: { token: 'wrong' } })).toBe('auth.invalid');
    const headers = { cookie: `holdfast_session=v2.${'B'.repeat(22)}.1.9999999999.${'A'.repeat(43)}` };
    expect(await codeOf('GET', '/api/ha/status', { headers })).toBe('auth.required');
  });

  it('does not help a page of another origin', async () => {
    await start();
    const login = await harness.call('POST', '/api/session', { body: { token: TOKEN } });
    const headers = { ...cookieOf(login.headers['set-cookie']), origin: 'http://localhost:13004' };
    expect(await codeOf('POST', '/api/ha/stop', { headers })).toBe('origin.foreign');
    expect(harness.controlPlane.calls).toEqual([]);
  });

  it('is worth nothing after the logout, also what was kept of its cookie, and after a restart', async () => {
    const kept: { state: unknown } = { state: null };
    const sessionStore = {
      load: () => Promise.resolve({ state: kept.state }),
      save: (state: unknown) => {
        kept.state = structuredClone(state);
        return Promise.resolve();
      },
    };
    await start({ sessionStore });
    const logins = [];
    for (let i = 0; i < 2; i += 1) {
      const login = await harness.call('POST', '/api/session', { body: { token: TOKEN } });
      logins.push(cookieOf(login.headers['set-cookie']));
    }
    const [stolen, other] = logins;
    await harness.call('DELETE', '/api/session', { headers: stolen! });
    expect(await codeOf('GET', '/api/ha/status', { headers: stolen! })).toBe('auth.required');
    expect(await codeOf('GET', '/api/ha/status', { headers: other! })).toBe(200);
    await harness.close();
    await start({ sessionStore });
    expect(await codeOf('GET', '/api/ha/status', { headers: stolen! })).toBe('auth.required');
    expect(await codeOf('GET', '/api/ha/status', { headers: other! })).toBe(200);
    await harness.close();
    kept.state = { nonsense: true };
    await start({ sessionStore });
    expect(await codeOf('GET', '/api/ha/status', { headers: other! })).toBe('auth.required');
  });

  it.each([
    ['a proxy says that the page came over TLS', { 'x-forwarded-proto': 'https' }],
    ['the page of the login did', { origin: 'https://ha.example.org', host: 'ha.example.org' }],
  ])('has a cookie of this host alone where %s', async (_name, headers) => {
    await start({ settings: { allowedHosts: ['ha.example.org'] } });
    const login = await harness.call('POST', '/api/session', { body: { token: TOKEN }, headers });
    expect(login.headers['set-cookie']?.[0]).toMatch(/^__Host-holdfast_session=.*; Secure$/);
    const session = cookieOf(login.headers['set-cookie']);
    expect(await codeOf('GET', '/api/ha/status', { headers: session })).toBe(200);
  });

  it('survives a restart of the supervisor, unless the token changed', async () => {
    await start();
    const login = await harness.call('POST', '/api/session', { body: { token: TOKEN } });
    const headers = cookieOf(login.headers['set-cookie']);
    await harness.close();
    await start();
    expect(await codeOf('GET', '/api/ha/status', { headers })).toBe(200);
    await harness.close();
    await start({ settings: { token: 'a-new-one' } });
    expect(await codeOf('GET', '/api/ha/status', { headers })).toBe('auth.required');
  });
});

describe('without a token', () => {
  it('loopback needs none, and says so at login', async () => {
    await start({ settings: { token: null } });
    expect(await codeOf('GET', '/api/ha/status')).toBe(200);
    expect(await codeOf('POST', '/api/session', { body: { token: 'x' } })).toBe('session.not-needed');
  });

  it.each(['0.0.0.0', '::', '192.168.0.7', 'box.example.com', ''])(
    'binding to %j is refused',
    async (host) => {
      await start();
      for (const token of [null, '']) {
        const create = () =>
          createApi({
            controlPlane: new MemoryControlPlane(),
            settings: { host, port: 0, token, sessionSecret: null, version: '1' },
            logger: console,
            readiness: () => harness.readiness,
          });
        expect(create).toThrow(HoldfastError);
        expect(create).toThrow(/Set HA_API_TOKEN/);
      }
    },
  );
});
