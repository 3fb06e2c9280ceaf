import { afterEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../domain/errors.js';
import { createApi } from '../api.js';
import { startHarness } from '../testing/harness.js';
import type { CallOptions, Harness, HarnessOptions } from '../testing/harness.js';
import { MemoryControlPlane } from '../testing/memoryControlPlane.js';

const TOKEN = 'correct horse battery staple'.replaceAll(' ', '-');
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

let harness: Harness;
afterEach(() => harness.close());

async function start(options: HarnessOptions = {}): Promise<Harness> {
  harness = await startHarness({
    ...options,
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

  it('bounds guesses per address, and not by repeats of one outdated token', async () => {
    await start({ limits: { guesses: { burst: 3, refillMs: 3_600_000, addresses: 8 } } });
    const guess = (token: string) => codeOf('GET', '/api/ha/status', { headers: bearer(token) });
    for (let n = 0; n < 20; n += 1) expect(await guess('outdated')).toBe('auth.invalid');
    expect(await guess('a')).toBe('auth.invalid');
    expect(await guess('b')).toBe('auth.invalid');
    expect(await guess('c')).toBe('auth.too-many-guesses');
    expect(await guess(TOKEN)).toBe('auth.too-many-guesses');
    const login = await harness.call('POST', '/api/session', { body: { token: TOKEN } });
    expect(login.status).toBe(429);
    expect(Number(login.headers['retry-after'])).toBeGreaterThan(0);
    expect(harness.log.filter(({ level }) => level === 'warn')).toHaveLength(3);
    expect(JSON.stringify(harness.log)).not.toContain('outdated');
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
    const headers = { cookie: `holdfast_session=v1.9999999999.${'A'.repeat(43)}` };
    expect(await codeOf('GET', '/api/ha/status', { headers })).toBe('auth.required');
  });

  it('does not help a page of another origin', async () => {
    await start();
    const login = await harness.call('POST', '/api/session', { body: { token: TOKEN } });
    const headers = { ...cookieOf(login.headers['set-cookie']), origin: 'http://localhost:13004' };
    expect(await codeOf('POST', '/api/ha/stop', { headers })).toBe('origin.foreign');
    expect(harness.controlPlane.calls).toEqual([]);
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
