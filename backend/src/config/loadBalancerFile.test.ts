import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { loadConfig } from './load.js';
import { readLoadBalancerFile, type LoadBalancerReading } from './loadBalancerFile.js';
import type { ServiceValues } from './schema.js';

function defaults(): ServiceValues {
  const result = loadConfig({ root: join(tmpdir(), 'holdfast-no-such-folder'), env: {} });
  if (!result.ok) throw new Error('the defaults are not valid');
  return result.config.serviceDefaults;
}
const read = (content: unknown): LoadBalancerReading =>
  readLoadBalancerFile(JSON.stringify(content), defaults());

describe('load-balancer-config.json', () => {
  it('reads servers in both forms, the algorithm and the checks', () => {
    const reading = read({
      algorithm: 'least-connections',
      healthCheck: { path: '/up', interval: 10_000, timeout: 2_000, unhealthyThreshold: 5, status: '200' },
      servers: [
        '10.0.0.1:8080;weight=3',
        { host: 'App.test', port: 80 },
        { host: '::1', port: 9, weight: 2 },
        { host: '[::2]', port: 9 },
      ],
    });
    expect(reading).toEqual({
      ok: true,
      members: [
        { id: '10.0.0.1:8080', host: '10.0.0.1', port: 8080, weight: 3 },
        { id: 'app.test:80', host: 'app.test', port: 80, weight: 1 },
        { id: '[::1]:9', host: '::1', port: 9, weight: 2 },
        { id: '[::2]:9', host: '::2', port: 9, weight: 1 },
      ],
      document: {
        algorithm: 'least-connections',
        check: {
          probe: { kind: 'http', path: '/up', statusMin: 200, statusMax: 200, bodyIncludes: null },
          intervalMs: 10_000,
          timeoutMs: 2_000,
          fastIntervalMs: 1_000,
          fall: 5,
          rise: 2,
          startTimeoutMs: 30_000,
        },
      },
    });
  });

  it('reads the example of docs/guides/gateway.md', () => {
    const page = readFileSync(new URL('../../../docs/guides/gateway.md', import.meta.url), 'utf8');
    const [, example = ''] = /```json\n([^`]*"servers"[^`]*)```/.exec(page) ?? [];
    expect(readLoadBalancerFile(example, defaults())).toMatchObject({ ok: true, members: { length: 2 } });
  });

  it('needs servers only, and takes the settings for the rest', () => {
    expect(read({ servers: ['a:1'] })).toMatchObject({
      ok: true,
      document: { algorithm: null, check: { probe: { kind: 'http', path: '/health' }, intervalMs: 30_000 } },
    });
    expect(read({ servers: ['a:1'], healthCheck: { probe: 'tcp' } })).toMatchObject({
      document: { check: { probe: { kind: 'tcp' } } },
    });
  });

  it('finds everything that is wrong, and names what was probably meant', () => {
    const reading = read({
      algoritm: 'p2c',
      algorithm: 'fastest',
      healthCheck: { intervall: 5, interval: 1_000, timeout: 5_000, path: 'health' },
      servers: [
        'a',
        { host: 'a', prot: 80 },
        { port: 70_000 },
        { host: 'b b', port: 1 },
        { host: 'c', port: 1, weight: 0 },
        7,
        'd:1',
        'd:1',
      ],
    });
    expect(reading.ok ? [] : reading.problems).toEqual([
      'algoritm is not known; did you mean algorithm?',
      expect.stringContaining('algorithm = "fastest", expected round-robin,'),
      'healthCheck.intervall is not known; did you mean interval?',
      expect.stringContaining('healthCheck.path = "health", expected a path'),
      'healthCheck.timeout = 5000, expected at most healthCheck.interval (1000)',
      'servers[0]: "a" is not host:port or host:port;weight=N',
      'servers[1].prot is not known; did you mean port?',
      expect.stringContaining('servers[1].port is missing, expected'),
      expect.stringContaining('servers[2].port = 70000, expected'),
      expect.stringContaining('servers[2].host is missing, expected'),
      expect.stringContaining('servers[3].host = "b b", expected'),
      expect.stringContaining('servers[4].weight = 0, expected'),
      'servers[5] = 7, expected an object with host, port, weight',
      'servers[7]: d:1 is there twice',
    ]);
  });

  it.each([
    ['', /^not valid JSON: /],
    ['{"servers":["a:1"]', /^not valid JSON: /],
    ['[]', /^the file = \[\], expected an object with algorithm, healthCheck, servers$/],
    ['{}', /^servers is missing, expected a list of 1 to 4096 servers$/],
    ['{"servers":[]}', /^servers = \[\], expected a list/],
    ['{"servers":["a:1"],"healthCheck":[]}', /^healthCheck = \[\], expected an object with probe/],
  ])('refuses %j', (text, problem) => {
    const reading = readLoadBalancerFile(text, defaults());
    expect(reading.ok ? [] : reading.problems).toEqual([expect.stringMatching(problem)]);
  });

  it('never throws, whatever the file', () => {
    const values = defaults();
    fc.assert(fc.property(fc.string(), (text) => void readLoadBalancerFile(text, values)));
    fc.assert(
      fc.property(
        fc.record(
          { algorithm: fc.anything(), healthCheck: fc.anything(), servers: fc.array(fc.anything()) },
          { requiredKeys: [] },
        ),
        (content) => void readLoadBalancerFile(JSON.stringify(content) ?? '', values),
      ),
    );
  });
});
