import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { startHarness } from '../testing/harness.js';
import { createOriginJudge, isLoopback } from './sameOrigin.js';

interface Given {
  host?: string | readonly string[];
  origin?: string;
  site?: string;
  mode?: string;
  method?: string;
}

const judgeWith =
  (bind: string, allowed: readonly string[] = []) =>
  ({ host = 'localhost:3000', origin, site, mode, method = 'GET' }: Given): string => {
    const hosts = typeof host === 'string' ? [host] : host;
    const facts = { method, hosts, origin, fetchSite: site, fetchMode: mode };
    return createOriginJudge(bind, allowed)(facts)?.code ?? 'passes';
  };

describe('Host', () => {
  const loopback = judgeWith('127.0.0.1');
  it.each(['localhost', 'LOCALHOST:3000', '127.0.0.1', '127.1.2.3:1', '[::1]:3000', 'localhost.:3000'])(
    '%s is a name of a loopback bind',
    (host) => expect(loopback({ host })).toBe('passes'),
  );
  it.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '127.evil.example',
    '192.168.0.7',
    '0.0.0.0:3000',
    'localhost:3000@evil.example',
    'evil.example#localhost',
    'localhost:x',
    '[::2]',
    '',
    ' ',
    hostname() === 'localhost' ? 'other' : hostname(),
  ])('%j is not', (host) => expect(loopback({ host })).toBe('host.foreign'));

  it('must be there, once', () => {
    expect(loopback({ host: [] })).toBe('host.missing');
    expect(loopback({ host: ['localhost', 'localhost'] })).toBe('host.missing');
  });

  it('may be the bound address, or a configured name', () => {
    const judge = judgeWith('192.168.0.7', ['HA.example.com']);
    expect(judge({ host: '192.168.0.7:3000' })).toBe('passes');
    expect(judge({ host: 'ha.example.com' })).toBe('passes');
    expect(judge({ host: 'localhost' })).toBe('passes');
    expect(judge({ host: '192.168.0.8' })).toBe('host.foreign');
    expect(judge({ host: 'example.com' })).toBe('host.foreign');
  });

  it('may be any address and the own name on a wildcard bind, but no other name', () => {
    for (const bind of ['0.0.0.0', '::']) {
      const judge = judgeWith(bind);
      expect(judge({ host: '10.1.2.3:3000' })).toBe('passes');
      expect(judge({ host: '[2001:db8::7]' })).toBe('passes');
      expect(judge({ host: hostname() })).toBe('passes');
      expect(judge({ host: 'evil.example' })).toBe('host.foreign');
    }
  });
});

describe('Origin', () => {
  const judge = judgeWith('127.0.0.1', ['ha.example.com']);
  it.each([
    ['http://localhost:3000', 'localhost:3000'],
    ['http://localhost', 'localhost:80'],
    ['https://localhost', 'localhost:443'],
    ['http://[::1]:3000', '[::1]:3000'],
    ['https://ha.example.com', '127.0.0.1:3000'],
  ])('%s may call %s', (origin, host) => {
    expect(judge({ origin, host, method: 'POST' })).toBe('passes');
  });

  it.each([
    ['http://localhost:13004', 'localhost:3000'],
    ['http://127.0.0.1:3000', 'localhost:3000'],
    ['https://localhost', 'localhost:80'],
    ['http://evil.example', 'localhost:3000'],
    ['http://localhost:3000.evil.example', 'localhost:3000'],
    ['http://ha.example.com.evil.example', 'localhost:3000'],
    ['null', 'localhost:3000'],
    ['', 'localhost:3000'],
    ['file://', 'localhost:3000'],
    ['chrome-extension://abc', 'localhost:3000'],
  ])('%s may not call %s, whatever the method', (origin, host) => {
    for (const method of ['GET', 'POST', 'OPTIONS']) {
      expect(judge({ origin, host, method })).toBe('origin.foreign');
    }
  });
});

describe('Sec-Fetch-Site', () => {
  const judge = judgeWith('127.0.0.1');
  it.each([
    ['same-origin', 'cors', 'POST', 'passes'],
    ['none', 'navigate', 'GET', 'passes'],
    ['cross-site', 'navigate', 'GET', 'passes'],
    ['cross-site', 'navigate', 'POST', 'origin.foreign'],
    ['cross-site', 'no-cors', 'GET', 'origin.foreign'],
    ['cross-site', 'cors', 'POST', 'origin.foreign'],
    ['same-site', 'cors', 'POST', 'origin.foreign'],
    ['same-site', 'no-cors', 'DELETE', 'origin.foreign'],
  ])('%s, %s, %s: %s', (site, mode, method, verdict) => {
    expect(judge({ site, mode, method })).toBe(verdict);
  });
});

it('loopback addresses', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'LocalHost']) {
    expect(isLoopback(host)).toBe(true);
  }
  for (const host of ['0.0.0.0', '::', '', '10.0.0.1', '127.example.com', 'localhost.example.com']) {
    expect(isLoopback(host)).toBe(false);
  }
});

it('foreign requests never reach the control plane', async () => {
  const harness = await startHarness();
  try {
    for (const headers of [
      { host: 'evil.example' },
      { origin: 'http://evil.example' },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      const { status, json } = await harness.call('POST', '/api/ha/stop', { headers });
      expect([status, json.success]).toEqual([403, false]);
    }
    expect((await harness.call('GET', '/healthz', { headers: { host: 'evil.example' } })).status).toBe(403);
    expect(harness.controlPlane.calls).toEqual([]);
  } finally {
    await harness.close();
  }
});

describe('a target that names a host', () => {
  it.each([
    ['http://evil.example/api/ha/health', 403],
    ['http://localhost:3000@evil.example/api/ha/health', 403],
    ['HTTP://evil.example/api/ha/health', 403],
    ['http://localhost/api/ha/health', 200],
    ['/api/ha/health', 200],
  ])('%s overrules Host: localhost, %i', async (target, status) => {
    const harness = await startHarness();
    try {
      const socket = await harness.raw();
      socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      let text = '';
      for await (const chunk of socket) text += String(chunk);
      expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      if (status === 403) expect(text).toContain('host.foreign');
    } finally {
      await harness.close();
    }
  });
});
