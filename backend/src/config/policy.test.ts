import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { loadConfig, type Config } from './load.js';
import { servicePolicy } from './policy.js';

const MEBIBYTE = 1024 ** 2;
const HOST = { cores: 8, memoryBytes: 4096 * MEBIBYTE };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-policy-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function configOf(yaml: string): Config {
  writeFileSync(join(root, 'config.yml'), yaml);
  const result = loadConfig({ root, env: {} });
  if (!result.ok) throw new Error('the test gives a valid configuration');
  return result.config;
}

describe('servicePolicy', () => {
  it('carries every default', () => {
    expect(servicePolicy(configOf(''), { name: 'shop', startPort: 13004 }, HOST)).toEqual({
      name: 'shop',
      ports: { first: 13004, last: 13099 },
      memoryLimitBytes: 512 * MEBIBYTE,
      scaling: {
        minInstances: 1,
        maxInstances: 4,
        cpuHighPercent: 80,
        cpuLowPercent: 30,
        memoryHighPercent: 80,
        memoryLowPercent: 30,
        cooldownMs: 60_000,
        upWindowMs: 10_000,
        downWindowMs: 60_000,
        autoscale: true,
      },
      health: {
        probe: { kind: 'http', path: '/health', statusMin: 200, statusMax: 399, bodyIncludes: null },
        intervalMs: 30_000,
        timeoutMs: 5_000,
        fastIntervalMs: 1_000,
        fall: 3,
        rise: 2,
        startTimeoutMs: 30_000,
      },
      failure: {
        maxRestartAttempts: 3,
        windowMs: 600_000,
        restartCooldownMs: 60_000,
        backoffBaseMs: 1_000,
        stableMs: 10_000,
      },
      hangTimeoutMs: 1_000,
      lifecycle: { drainGraceMs: 1_000, killTimeoutMs: 10_000, canaryMs: 5_000 },
    });
  });

  it('prefers what is said of the service, then the ecosystem file, then the global value', () => {
    const config = configOf(
      'memoryLimit: 300M\nservices:\n  a: {memoryLimit: 100M, startPort: 5000, portCount: 10}\n',
    );
    const defined = { startPort: 6000, memoryLimitBytes: 200 * MEBIBYTE };
    expect(servicePolicy(config, { name: 'a', ...defined }, HOST)).toMatchObject({
      memoryLimitBytes: 100 * MEBIBYTE,
      ports: { first: 5000, last: 5009 },
    });
    expect(servicePolicy(config, { name: 'b', ...defined }, HOST)).toMatchObject({
      memoryLimitBytes: 200 * MEBIBYTE,
      ports: { first: 6000, last: 6095 },
    });
    expect(servicePolicy(config, { name: 'c' }, HOST)).toMatchObject({
      memoryLimitBytes: 300 * MEBIBYTE,
      ports: null,
    });
  });

  it('never holds an instance to more memory than there is, nor a range beyond the last port', () => {
    const small = { cores: 1, memoryBytes: 256 * MEBIBYTE };
    const policy = servicePolicy(configOf(''), { name: 'a', startPort: 65_530 }, small);
    expect(policy.memoryLimitBytes).toBe(256 * MEBIBYTE);
    expect(policy.ports).toEqual({ first: 65_530, last: 65_535 });
  });

  it.each([
    ['maxInstances: auto', 8],
    ['maxInstances: auto\nminInstances: 12', 12],
    ['maxInstances: auto\nportCount: 5', 4],
    ['maxInstances: 2', 2],
  ])('bounds the instances: %j → %i', (yaml, expected) => {
    expect(servicePolicy(configOf(yaml), { name: 'a' }, HOST).scaling.maxInstances).toBe(expected);
  });

  it('asks a service as its own host with its own fields, and others as config.yml says of all', () => {
    const config = configOf(
      'healthHost: all.example\nservices: {a: {healthHost: a.example, healthHeaders: {X-Token: abc}}}',
    );
    const probeOf = (name: string) => servicePolicy(config, { name }, HOST).health.probe;
    expect(probeOf('a')).toMatchObject({ host: 'a.example', headers: { 'X-Token': 'abc' } });
    expect(probeOf('b')).toMatchObject({ host: 'all.example' });
    expect(probeOf('b')).not.toHaveProperty('headers');
  });

  it.each<[yaml: string, instances: number, most: number, warning: RegExp | null]>([
    ['', 3, 4, null],
    ['', 6, 6, null],
    ['services: {a: {minInstances: 2}}', 6, 6, null],
    ['maxInstances: 6', 6, 6, null],
    ['maxInstances: 4', 6, 4, /says instances: 6, and maxInstances is 4: of those .* 2 are stopped again/],
    [
      'services: {a: {maxInstances: 5}}',
      6,
      5,
      /says instances: 6, and services\.a\.maxInstances is 5: .* 1 are/,
    ],
    ['maxInstances: 4\nservices: {a: {maxInstances: 7}}', 6, 7, null],
    ['services: {b: {maxInstances: 2}}', 6, 6, null],
  ])('with %j a file that starts %i may have %i', (yaml, instances, most, warning) => {
    const { scaling } = servicePolicy(configOf(yaml), { name: 'a', instances }, HOST);
    expect(scaling.maxInstances).toBe(most);
    if (warning === null) expect(scaling).not.toHaveProperty('boundsWarning');
    else expect(scaling.boundsWarning).toMatch(warning);
  });

  it('has a port for each of those that the file starts, and one more', () => {
    const { ports } = servicePolicy(configOf(''), { name: 'a', instances: 120, startPort: 5_000 }, HOST);
    expect(ports).toEqual({ first: 5_000, last: 5_120 });
  });

  it('speaks TCP where asked to', () => {
    const policy = servicePolicy(configOf('services: {a: {healthProbe: tcp}}'), { name: 'a' }, HOST);
    expect(policy.health.probe).toEqual({ kind: 'tcp' });
  });
});
