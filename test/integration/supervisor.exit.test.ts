/** How the supervisor's process leaves: 78 for what only a person can mend (PM2 then leaves it stopped), else 1. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { acquirePidLock } from '../../backend/src/lib/pidLock.js';
import { repository } from '../support/deployment.js';
import { createPm2Home, freePortRange, type Pm2Home } from '../support/pm2.js';

let pm2: Pm2Home;
let port: number;
beforeEach(async () => {
  pm2 = createPm2Home();
  port = await freePortRange(1);
});
afterEach(() => pm2.dispose());

function supervisor(settings: Record<string, string> = {}): Promise<{ code: number | null; said: string }> {
  const env = {
    ...pm2.env,
    HA_PORT: String(port),
    HA_DATA_DIR: join(pm2.home, 'data'),
    HA_LOG_DIR: join(pm2.home, 'ha-logs'),
    ...settings,
  };
  const child = spawn(process.execPath, [join(repository, 'backend/dist/supervisor.js')], { env });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stdout.resume();
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, said })));
}

it('lists every wrong setting and asks for a person', async () => {
  const { code, said } = await supervisor({ HA_PORT: 'http', MAX_INSTANCES: '0' });
  expect(code).toBe(78);
  expect(said).toContain('HA_PORT');
  expect(said).toContain('MAX_INSTANCES');
});

it('names the process that has its port, and asks for a person', async () => {
  const server = createServer().listen(port, '127.0.0.1');
  const { code, said } = await supervisor();
  server.close();
  expect(code).toBe(78);
  expect(said).toContain(`Port ${port}`);
  expect(said).toContain(String(process.pid));
});

it('stands by while another one has its data: PM2 starts it again, until that one has ended', async () => {
  const release = await acquirePidLock(join(pm2.home, 'data', 'supervisor.lock'));
  const { code, said } = await supervisor();
  release?.();
  expect(code).toBe(1);
  expect(said).toContain('Another supervisor already uses');
}, 40_000);
