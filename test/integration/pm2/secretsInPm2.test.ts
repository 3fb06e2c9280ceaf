/**
 * Secrets and private files in real deployments: what PM2 gets to see of secrets that stand in the shell, and what a gateway
 * believes and follows in folders that others could write.
 */
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createCheckout, QUICK, type Checkout } from '../../support/checkout.js';
import { GatewayHome } from '../../support/gatewayProcess.js';
import { waitFor } from '../../support/waitFor.js';

const SECRETS: Readonly<Record<string, string>> = {
  HA_API_TOKEN: 'e2f1a7c4-token-of-the-shell',
  SESSION_SECRET: 'e2f1a7c4-session-secret-of-the-shell',
  LB_STICKY_KEYS: 'e2f1a7c4-sticky-key-of-the-shell',
  JWT_SECRET: 'e2f1a7c4-jwt-secret-of-the-shell',
};
const HOOK_PATH = '/hooks/e2f1a7c4-webhook-of-the-shell';
/** Part of each of them. */
const TRACE = 'e2f1a7c4';

const modeOf = (file: string): string => (statSync(file).mode & 0o777).toString(8);

describe('a deployment that is started from a shell with secrets', () => {
  let checkout: Checkout;
  let webhook: Server;
  const hooked: string[] = [];
  let token = SECRETS['HA_API_TOKEN']!;

  beforeAll(async () => {
    webhook = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        if (request.url === HOOK_PATH) hooked.push(body);
        response.end();
      });
    });
    await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
    const { port } = webhook.address() as AddressInfo;
    checkout = await createCheckout({
      ...QUICK,
      AUTOSCALE: 'false',
      GATEWAY_WORKERS: '1',
      INSTANCE_COUNT: '1',
    });
    const shell = {
      ...SECRETS,
      NOTIFY_WEBHOOK_URL: `http://127.0.0.1:${port}${HOOK_PATH}`,
      LB_STICKY_COOKIE: 'HASESSION',
    };
    const started = await checkout.run('scripts/holdfast.sh', ['up'], shell);
    expect(`${started.stdout}${started.stderr}`).toContain('Started ha-supervisor');
    expect(started.code).toBe(0);
  }, 90_000);
  afterAll(async () => {
    await checkout.dispose();
    webhook.close();
  });

  const gateway = (path: string): string => `http://127.0.0.1:${checkout.gatewayPort}${path}`;
  const apiStatus = async (bearer: string): Promise<number> => {
    const url = `http://127.0.0.1:${checkout.haPort}/api/ha/status`;
    return (await fetch(url, { headers: { authorization: `Bearer ${bearer}` } })).status;
  };
  const isUp = (): Promise<unknown> =>
    waitFor(async () => (await apiStatus(token)) === 200 && (await fetch(gateway('/api/me'))).ok, {
      what: 'the API and the gateway to answer',
      deadlineMs: 30_000,
    });
  const dumpFile = (): string => join(checkout.pm2.home, 'dump.pm2');

  /** Cookies of one client: its upstream, signed by the gateway, and its user, signed by the sample. */
  async function logIn(): Promise<string> {
    const answer = await fetch(gateway('/api/login'), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'ada' }),
    });
    const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(';')[0]);
    expect(cookies).toEqual(expect.arrayContaining([expect.stringMatching(/^HASESSION=/)]));
    return cookies.join('; ');
  }
  async function expectKnown(cookie: string): Promise<void> {
    const answer = await fetch(gateway('/api/me'), { headers: { cookie } });
    expect(await answer.json()).toEqual({ success: true, data: { user: 'ada' } });
    expect(answer.headers.getSetCookie()).toEqual([]);
  }

  it('works with them, and none is in what PM2 keeps, shows and saves', async () => {
    expect([await apiStatus(token), await apiStatus('wrong')]).toEqual([200, 401]);
    await checkout.pm2.pm2('save');
    const rows = await checkout.pm2.jlist();
    expect(rows.map(({ name }) => name).sort()).toEqual([
      'ha-gateway',
      'ha-supervisor',
      'wordpecker-backend',
      'wordpecker-frontend',
    ]);
    const environments = rows.map(({ pid }) => readFileSync(`/proc/${pid}/environ`, 'utf8'));
    for (const text of [readFileSync(dumpFile(), 'utf8'), JSON.stringify(rows), ...environments])
      expect(text.includes(TRACE)).toBe(false);
    expect(modeOf(join(checkout.root, 'data'))).toBe('700');
    expect(modeOf(join(checkout.root, 'data/secrets/environment/HA_API_TOKEN'))).toBe('600');
  });

  it('takes a changed secret when PM2 alone restarts it, and closes a dump that has one of before', async () => {
    const before = `[{"name":"ha-supervisor","HA_API_TOKEN": "of an earlier version"}]`;
    writeFileSync(dumpFile(), before);
    chmodSync(dumpFile(), 0o644);
    const cookie = await logIn();
    token = 'e2f1a7c4-token-that-was-changed';
    writeFileSync(join(checkout.root, 'data/secrets/environment/HA_API_TOKEN'), `${token}\n`);
    await checkout.pm2.pm2('restart', 'ha-supervisor', 'ha-gateway', 'wordpecker-backend');
    await isUp();
    expect([await apiStatus(token), await apiStatus(SECRETS['HA_API_TOKEN']!)]).toEqual([200, 401]);
    await expectKnown(cookie);
    // The address of the webhook came from a file as well.
    await waitFor(() => hooked.some((text) => text.includes('dump.narrowed')), { what: 'the webhook' });
    expect(hooked.find((text) => text.includes('dump.narrowed'))).toContain('"holds":["HA_API_TOKEN"]');
    expect(modeOf(dumpFile())).toBe('600');
  });

  it('comes back by pm2 resurrect alone, with the same sessions', async () => {
    const cookie = await logIn();
    await checkout.pm2.pm2('save');
    expect(modeOf(dumpFile())).toBe('600');
    await checkout.pm2.pm2('kill');
    await checkout.pm2.pm2('resurrect');
    await isUp();
    await expectKnown(cookie);
  }, 60_000);
});

describe('a gateway whose folders others could write', () => {
  const IS_ROOT = process.getuid?.() === 0;
  let home: GatewayHome;
  let precious: string;
  beforeAll(async () => {
    home = await GatewayHome.create({ LB_STICKY_COOKIE: 'HASESSION', BACKEND_HOSTS: '127.0.0.1:9' });
    precious = home.write('precious', 'precious');
    for (const folder of ['data', 'logs']) {
      mkdirSync(join(home.folder, folder));
      chmodSync(join(home.folder, folder), 0o777);
    }
  });
  afterEach(async () => {
    for (const process of home.processes.splice(0)) await process.kill();
  });
  afterAll(() => home.dispose());

  it('closes them, and writes through no link that lies in them', async () => {
    symlinkSync(precious, join(home.folder, 'logs/ha-gateway.log'));
    symlinkSync(precious, join(home.folder, 'data/gateway-pool.json'));
    await home.start();
    expect([modeOf(join(home.folder, 'data')), modeOf(join(home.folder, 'logs'))]).toEqual(['700', '700']);
    expect(modeOf(join(home.folder, 'data/session-secret'))).toBe('600');
    expect(readFileSync(precious, 'utf8')).toBe('precious');
  });

  it.skipIf(!IS_ROOT)('does not start with a session-secret of another user (needs root)', async () => {
    const file = join(home.folder, 'data/session-secret');
    if (!existsSync(file)) appendFileSync(file, 'x'.repeat(43));
    chownSync(file, 65_534, 65_534);
    const { code, stderr } = await home.launch().ended();
    expect(code).toBe(78);
    expect(stderr).toContain('it belongs to uid 65534');
    expect(stderr).toContain(`run: chown 0 ${file}`);
  });
});
