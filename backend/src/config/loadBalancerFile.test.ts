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

  it('reads the host and the fields of a check, and shows no field that is wrong', () => {
    const check = (headers: string): string =>
      `{ "healthCheck": { "hostHeader": "shop.example", "headers": ${headers} }, "servers": ["a:1"] }`;
    expect(readLoadBalancerFile(check('{ "X-Token": "s3cret" }'), defaults())).toMatchObject({
      document: { check: { probe: { host: 'shop.example', headers: { 'X-Token': 's3cret' } } } },
    });
    expect(readLoadBalancerFile(check('{ "Upgrade": "s3cret" }'), defaults())).toEqual({
      ok: false,
      problems: [expect.stringMatching(/^healthCheck\.headers = \(hidden\), expected names and values/)],
    });
  });

  it('reads the example of docs/guides/gateway.md', () => {
    const page = readFileSync(new URL('../../../docs/guides/gateway.md', import.meta.url), 'utf8');
    const [, example = ''] = /```json\n([^`]*"servers"[^`]*)```/.exec(page) ?? [];
    expect(readLoadBalancerFile(example, defaults())).toMatchObject({ ok: true, members: { length: 2 } });
  });

  it('reads the example of the repository, which names what `npm run cluster` starts', () => {
    const file = new URL('../../../load-balancer-config.example.json', import.meta.url);
    const reading = readLoadBalancerFile(readFileSync(file, 'utf8'), defaults());
    expect(reading.ok && reading.members.map(({ port }) => port)).toEqual([
      13_004, 13_005, 13_006, 13_007, 13_008,
    ]);
    expect(reading).toMatchObject({
      document: {
        algorithm: 'round-robin',
        check: { intervalMs: 30_000, timeoutMs: 5_000, fall: 3, rise: 2 },
      },
    });
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
      'servers[5] = 7, expected an object with host, port, weight, url, id, name, enabled, disabled, protocol',
      'servers[7]: d:1 is there twice',
    ]);
  });

  const HTTP = { kind: 'http', path: '/up', statusMin: 200, statusMax: 399, bodyIncludes: null };

  it('reads a file as it is written for many balancers', () => {
    const text = `{
      // Comments of both kinds, and commas too many.
      "algorithm": "round_robin",
      "healthCheck": { "healthPath": "/up", "interval": "10s", "timeout": "2 s", "unhealthyThreshold": 4, "healthyThreshold": "1", },
      "servers": [
        { "id": "server-1", "host": "127.0.0.1", "port": 13004, "weight": 3 }, /* "http://not.this" */
        { "id": 2, "name": "http://no.url//", "host": "127.0.0.1", "port": "13005", "weight": "2" },
      ],
    }`;
    expect(readLoadBalancerFile(text, defaults())).toEqual({
      ok: true,
      members: [
        { id: '127.0.0.1:13004', host: '127.0.0.1', port: 13_004, weight: 3 },
        { id: '127.0.0.1:13005', host: '127.0.0.1', port: 13_005, weight: 2 },
      ],
      document: {
        algorithm: 'round-robin',
        check: {
          probe: HTTP,
          intervalMs: 10_000,
          timeoutMs: 2_000,
          fastIntervalMs: 1_000,
          fall: 4,
          rise: 1,
          startTimeoutMs: 30_000,
        },
      },
    });
  });

  it.each([
    [{ host: 'a', port: 1, hostname: 'b' }, /says the same as servers\[0\]\.host; keep one$/],
    [
      { host: 'a', port: 1, id: 'x', name: 'y', label: 'z' },
      /^servers\[0\]\.label says the same as servers\[0\]\.name/,
    ],
    [{ hostname: 'a', port: '8080' }, 'a:8080;1'],
    [{ address: '10.0.0.1:80', weight: 4 }, '10.0.0.1:80;4'],
    [{ ip: '::1', Port: 80 }, '[::1]:80;1'],
    [{ url: 'http://10.0.0.1:8080' }, '10.0.0.1:8080;1'],
    [{ url: 'http://[::1]/', weight: '7' }, '[::1]:80;7'],
    ['http://a.example', 'a.example:80;1'],
    [{ host: 'a', port: 1, enabled: true, protocol: 'HTTP', _note: 'x', '//': 'y', comment: 'z' }, 'a:1;1'],
    [{ host: 'a', port: 1, enabled: 'false' }, /^servers: none of them is enabled$/],
    [{ host: 'a', port: 1, down: true }, /^servers: none of them is enabled$/],
    [{ url: 'https://a' }, /^servers\[0\]\.url = "https:\/\/a", expected http:\/\/host:port without a path/],
    [{ url: 'http://a/api' }, /^servers\[0\]\.url = .* expected http:\/\/host:port/],
    ['https://a', /^servers\[0\]: "https:\/\/a" is not http:\/\/host:port/],
    [{ url: 'http://a', port: 5 }, /^servers\[0\]\.port stands in servers\[0\]\.url; keep one$/],
    [{ host: 'a', port: 1, protocol: 'https' }, /^servers\[0\]\.protocol = "https", expected "http"/],
    [{ host: 'a', port: 1, backup: true }, /^servers\[0\]\.backup is not known; known are host, port, /],
    [{ host: 'a', port: 1, weight: 1.5 }, /^servers\[0\]\.weight = 1.5, expected a whole number/],
    [{ host: 'a', port: '80a' }, /^servers\[0\]\.port = "80a", expected a whole number from 1 to 65535$/],
    [{ host: 'a', port: true }, /^servers\[0\]\.port = true, expected/],
  ])('takes the server %j as it is meant, or names the key', (server, expected) => {
    const reading = read({ servers: [server] });
    const said = reading.ok ? reading.members.map(({ id, weight }) => `${id};${weight}`) : reading.problems;
    expect(said).toEqual([typeof expected === 'string' ? expected : expect.stringMatching(expected)]);
  });

  it('leaves out what is switched off', () => {
    expect(read({ servers: ['a:1', { host: 'b', port: 1, enabled: false }] })).toMatchObject({
      ok: true,
      members: [{ id: 'a:1' }],
    });
  });

  it.each([
    [{ path: '/up' }, { probe: HTTP }],
    [{ health_path: '/up' }, { probe: HTTP }],
    [{ url: '/up' }, { probe: HTTP }],
    [{ type: 'tcp' }, { probe: { kind: 'tcp' } }],
    [{ interval: 30_000 }, { intervalMs: 30_000 }],
    [{ interval: '30000' }, { intervalMs: 30_000 }],
    [
      { Interval: '500ms', timeout: 200 },
      { intervalMs: 500, timeoutMs: 200 },
    ],
    [{ intervalMs: '1.5m' }, { intervalMs: 90_000 }],
    [{ interval: 2_000 }, { intervalMs: 2_000, timeoutMs: 2_000 }],
    [
      { fall: 5, rise: 1 },
      { fall: 5, rise: 1 },
    ],
    [
      { 'unhealthy-threshold': '5', healthy_threshold: 1 },
      { fall: 5, rise: 1 },
    ],
    [{ enabled: true, method: 'GET' }, { intervalMs: 30_000 }],
    [{ enabled: false }, /^healthCheck\.enabled = false, expected true: upstreams are always checked/],
    [{ method: 'HEAD' }, /^healthCheck\.method = "HEAD", expected "GET"/],
    [{ healthPath: 'up' }, /^healthCheck\.healthPath = "up", expected a path that begins with \//],
    [{ url: 'http://a/up' }, /^healthCheck\.url = .* expected a path/],
    [
      { interval: '30 parsecs' },
      /^healthCheck\.interval = "30 parsecs", expected .*\(ms\), or text with a unit/,
    ],
    [
      { interval: '30s', timeout: '1m' },
      /^healthCheck\.timeout = 60000, expected at most healthCheck\.interval/,
    ],
    [
      { path: '/up', healthPath: '/up' },
      /^healthCheck\.healthPath says the same as healthCheck\.path; keep one$/,
    ],
    [
      { unhealthyThreshold: 0 },
      /^healthCheck\.unhealthyThreshold = 0, expected a whole number from 1 to 100$/,
    ],
  ])('takes the check %j as it is meant, or names the key', (healthCheck, expected) => {
    const reading = read({ servers: ['a:1'], healthCheck });
    if (expected instanceof RegExp) {
      expect(reading.ok ? [] : reading.problems).toEqual([expect.stringMatching(expected)]);
    } else expect(reading).toMatchObject({ ok: true, document: { check: expected } });
  });

  it.each([
    ['roundRobin', 'round-robin'],
    ['ROUND_ROBIN', 'round-robin'],
    ['rr', 'round-robin'],
    ['weighted', 'weighted-round-robin'],
    ['weighted_round_robin', 'weighted-round-robin'],
    ['least_conn', 'least-connections'],
    ['leastConnections', 'least-connections'],
    ['LEAST-CONNECTIONS', 'least-connections'],
    ['ip_hash', 'ip-hash'],
    ['IPHash', 'ip-hash'],
    ['source', 'ip-hash'],
    ['power of two choices', 'p2c'],
    ['ring_hash', 'consistent-hash'],
    ['Random', 'random'],
  ])('knows the algorithm %s by our name', (spelling, name) => {
    expect(read({ servers: ['a:1'], strategy: spelling })).toMatchObject({ document: { algorithm: name } });
    const config = loadConfig({ root: tmpdir(), env: { LB_ALGORITHM: spelling } });
    expect(config.ok && config.config.gateway.pool.algorithm).toBe(name);
  });

  it.each([
    ['', /^not valid JSON: /],
    ['{"servers":["a:1"]', /^not valid JSON: /],
    ['[]', /^the file = \[\], expected an object with algorithm, healthCheck, servers, name, id$/],
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
