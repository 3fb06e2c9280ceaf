/** How the supervisor's process leaves: 78 for what only a person can mend (PM2 then leaves it stopped), else 1. And what it waits for. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { acquirePidLock } from '../../../backend/src/lib/pidLock.js';
import { repository } from '../../support/deployment.js';
import { createPm2Home, freePortRange, type Pm2Home } from '../../support/pm2.js';
import { waitFor } from '../../support/waitFor.js';

/** A home and a port of its own for each test: they wait more than they work, and run side by side. */
const it = test.extend<{ pm2: Pm2Home; port: number }>({
  // eslint-disable-next-line no-empty-pattern
  pm2: async ({}, use) => {
    const pm2 = createPm2Home();
    await use(pm2);
    await pm2.dispose();
  },
  // eslint-disable-next-line no-empty-pattern
  port: async ({}, use) => use(await freePortRange(1)),
});

interface Said {
  readonly child: ChildProcess;
  said: string;
}

async function supervisor(
  pm2: Pm2Home,
  port: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; said: string }> {
  const started = start(pm2, port, settings);
  const code = await new Promise<number | null>((resolve) => started.child.on('close', resolve));
  return { code, said: started.said };
}

function start(pm2: Pm2Home, port: number, settings: Readonly<Record<string, string>> = {}): Said {
  const env = {
    ...pm2.env,
    HA_PORT: String(port),
    HA_DATA_DIR: join(pm2.home, 'data'),
    HA_LOG_DIR: join(pm2.home, 'ha-logs'),
    ...settings,
  };
  const child = spawn(process.execPath, [join(repository, 'backend/dist/supervisor.js')], { env });
  const started = { child, said: '' };
  child.stderr.setEncoding('utf8').on('data', (text: string) => (started.said += text));
  child.stdout.resume();
  return started;
}

it.concurrent('lists every wrong setting and asks for a person', async ({ pm2, port }) => {
  const { code, said } = await supervisor(pm2, port, { HA_PORT: 'http', MAX_INSTANCES: '0' });
  expect(code).toBe(78);
  expect(said).toContain('HA_PORT');
  expect(said).toContain('MAX_INSTANCES');
});

it.concurrent(
  'names the process that has its port; PM2 starts it again, until that has ended',
  async ({ pm2, port }) => {
    const server = createServer().listen(port, '127.0.0.1');
    const { code, said } = await supervisor(pm2, port);
    server.close();
    expect(code).toBe(1);
    expect(said).toContain(`Port ${port}`);
    expect(said).toContain(String(process.pid));
  },
);

it.concurrent(
  'stands by while another one has its data: PM2 starts it again, until that one has ended',
  async ({ pm2, port }) => {
    const release = await acquirePidLock(join(pm2.home, 'data', 'supervisor.lock'));
    const { code, said } = await supervisor(pm2, port);
    release?.();
    expect(code).toBe(1);
    expect(said).toContain('Another supervisor already uses');
  },
  40_000,
);

it.concurrent(
  'waits for a state that its disk does not give, says so, and begins with it and with nothing else',
  async ({ pm2, port }) => {
    const file = join(pm2.home, 'data', 'supervisor-state.json');
    mkdirSync(join(pm2.home, 'data'));
    // Opening a named pipe takes until another process writes to it.
    execFileSync('mkfifo', [file]);
    const started = start(pm2, port);
    const answer = (): Promise<Response> => fetch(`http://127.0.0.1:${port}/api/ha/status`);
    try {
      await waitFor(() => started.said.includes(`${file} cannot be read. It is waited for`), {
        what: 'the word of it',
        deadlineMs: 30_000,
      });
      await expect(answer()).rejects.toThrow('fetch failed');
      const history = join(pm2.home, 'data/events.jsonl');
      await waitFor(() => readFileSync(history, 'utf8').includes('"state.awaited"'), { what: 'the event' });
      writeFileSync(file, JSON.stringify({ version: 1, state: { running: false } }));
      const { data } = await waitFor(
        async () => (await (await answer()).json()) as { data: { running: boolean } },
        { what: 'the supervisor', deadlineMs: 30_000 },
      );
      expect(data.running).toBe(false);
    } finally {
      const ended = new Promise((resolve) => started.child.once('close', resolve));
      started.child.kill('SIGKILL');
      await ended;
    }
  },
  90_000,
);
