import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { standingProblems, stopTimes, workerSettings } from './gatewayWorker.js';
import { loadConfig, type Config } from './load.js';
import { formatProblems } from './problems.js';

const root = mkdtempSync(join(tmpdir(), 'holdfast-gateway-worker-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function configOf(env: NodeJS.ProcessEnv = {}): Config {
  const result = loadConfig({ root, env });
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

describe('how it stops', () => {
  it.each([
    ['as configured where nobody counts', '30000', undefined, 30_000, 10_000],
    ['as configured where there is time', '30000', 35_000, 30_000, 10_000],
    ['in time for its own end', '30000', 12_000, 10_000, 10_000],
    ['in half of a short time', '30000', 1_600, 800, 800],
    ['at once', '0', 5_000, 0, 0],
  ])('%s', (_name, GATEWAY_STOP_TIMEOUT, killMs, graceMs, webSocketWindowMs) => {
    expect(stopTimes(configOf({ GATEWAY_STOP_TIMEOUT }), killMs)).toEqual({ graceMs, webSocketWindowMs });
  });
});

it('says what it can’t have, and nothing where there is nothing', () => {
  expect(standingProblems(configOf(), 35_000)).toEqual([]);
  expect(standingProblems(configOf({ GATEWAY_STOP_TIMEOUT: '60000' }), 35_000)).toEqual([
    expect.stringMatching(
      /^PM2 kills the gateway 35 s after .* get 33 s, not the 60 s of gatewayStopTimeout/,
    ),
  ]);
});

describe('its name in Via', () => {
  const nameOf = (host: string, env: NodeJS.ProcessEnv = {}): string =>
    workerSettings(configOf(env), host).viaName;

  it('is that of the machine, the data directory and the port, and tells none of them', () => {
    expect(nameOf('a')).toMatch(/^holdfast-[0-9a-f]{12}$/);
    expect(nameOf('a')).toBe(nameOf('a', { LB_ALGORITHM: 'p2c' }));
    expect(nameOf('a')).not.toBe(nameOf('a', { BALANCER_PORT: '1' }));
    expect(nameOf('a')).not.toBe(nameOf('b'));
    expect(nameOf('a')).not.toBe(nameOf('a', { HA_DATA_DIR: 'other' }));
  });
});

it('gives workers what is secret, so that they can take it out of what they show', () => {
  const env = {
    HA_API_TOKEN: 'a-token-of-some-length',
    NOTIFY_WEBHOOK_URL: 'http://127.0.0.1/hooks/a1b2c3d4',
  };
  const { secrets } = workerSettings(configOf(env), 'a');
  expect(secrets.join(' ')).toContain('a-token-of-some-length');
  expect(secrets.join(' ')).toContain('a1b2c3d4');
});
