/** The samples under PM2 as the ecosystems run them: stopped by PM2, they finish what is in flight. */
import http from 'node:http';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { createPm2Home, freePortRange, type Pm2Home } from '../../support/pm2.js';
import { call } from '../../support/sample.js';
import { waitFor } from '../../support/waitFor.js';

const SCRIPT = fileURLToPath(new URL('../../../examples/wordpecker/dist/backend.js', import.meta.url));
const INSTANCES = 2;

let home: Pm2Home | null = null;
afterEach(async () => {
  await home?.dispose();
  home = null;
});

async function startUnderPm2(
  mode: 'cluster' | 'fork',
): Promise<{ pm2: Pm2Home; ports: number[]; logs: string }> {
  const pm2 = (home = createPm2Home());
  const first = await freePortRange(INSTANCES);
  const logs = path.join(pm2.home, 'backend.log');
  const app = {
    name: 'wordpecker-backend',
    script: SCRIPT,
    exec_mode: mode,
    instances: INSTANCES,
    increment_var: 'PORT',
    instance_var: 'HOLDFAST_INSTANCE',
    kill_timeout: 10_000,
    merge_logs: true,
    out_file: logs,
    error_file: logs,
    env: {
      PORT: first,
      ENABLE_FAULTS: 'true',
      SESSION_SECRET: 'a secret for tests only',
      WORDPECKER_DB: path.join(pm2.home, 'words.db'),
    },
  };
  const ecosystem = path.join(pm2.home, 'ecosystem.config.json');
  writeFileSync(ecosystem, JSON.stringify({ apps: [app] }));
  await pm2.pm2('start', ecosystem);
  const ports = Array.from({ length: INSTANCES }, (_, index) => first + index);
  for (const port of ports) {
    await waitFor(async () => (await call('GET', `http://127.0.0.1:${port}/health`)).status === 200, {
      what: `port ${port} to answer`,
    });
  }
  return { pm2, ports, logs };
}

function get(url: string, agent: http.Agent): Promise<string> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => resolve(error.code ?? error.message);
    http
      .get(url, { agent }, (answer) => {
        answer.on('error', failed);
        answer.resume();
        answer.on('end', () => resolve(String(answer.statusCode)));
      })
      .on('error', failed);
  });
}

describe.each(['cluster', 'fork'] as const)('in %s mode', (mode) => {
  it('every instance has its own port and number, and PM2 stops it without a lost request', async () => {
    const { pm2, ports, logs } = await startUnderPm2(mode);
    const statuses = await Promise.all(
      ports.map((port) => call('GET', `http://127.0.0.1:${port}/api/status`)),
    );
    expect(new Set(statuses.map(({ body }) => body.pid)).size).toBe(INSTANCES);
    expect(statuses.map(({ body }) => body.instance).sort()).toEqual([0, 1]);

    const agent = new http.Agent({ keepAlive: true });
    const answers = ports.flatMap((port) =>
      Array.from({ length: 25 }, () => get(`http://127.0.0.1:${port}/debug/slow?ms=3000`, agent)),
    );
    for (const port of ports) {
      await waitFor(
        async () => (await call('GET', `http://127.0.0.1:${port}/api/status`)).body.requestsInFlight >= 26,
        { what: 'requests in flight' },
      );
    }
    const stopping = pm2.pm2('stop', 'all');
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['200']));
    await stopping;
    agent.destroy();
    const log = readFileSync(logs, 'utf8');
    expect(log.match(/"message":"stopping/g)).toHaveLength(INSTANCES);
    expect(log.match(/"message":"stopped"/g)).toHaveLength(INSTANCES);
    expect((await pm2.jlist()).map((row) => row.pm2_env.status)).toEqual(['stopped', 'stopped']);
  });

  it("a bad start leaves its reason in PM2's log", async () => {
    const pm2 = (home = createPm2Home());
    const logs = path.join(pm2.home, 'bad.log');
    const app = {
      name: 'bad',
      script: SCRIPT,
      exec_mode: mode,
      error_file: logs,
      out_file: logs,
      autorestart: false,
      merge_logs: true,
    };
    const ecosystem = path.join(pm2.home, 'bad.config.json');
    writeFileSync(ecosystem, JSON.stringify({ apps: [{ ...app, env: { PORT: 'nonsense' } }] }));
    await pm2.pm2('start', ecosystem);
    await waitFor(() => readFileSync(logs, 'utf8').includes('PORT is "nonsense"'), {
      what: 'the reason in the log',
    });
    await waitFor(async () => (await pm2.jlist())[0]?.pm2_env.status === 'stopped', {
      what: 'it to be stopped',
    });
  });
});
