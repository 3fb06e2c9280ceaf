/**
 * 200 generated secrets in every shape that is known go into a real deployment by all ways that there are (an application
 * that prints them and dies of them, requests, calls, the configuration), and none comes out anywhere: events, logs, black
 * boxes, reports, the API, its stream, metrics, pages of the gateway, notifications, what commands print.
 *
 * Its data directory is too deep for a socket, so agents and commands meet the supervisor in a folder elsewhere.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlackBoxEntry } from '../../../backend/src/domain/blackBox/blackBox.js';
import type { InstanceView } from '../../../backend/src/domain/views/serviceView.js';
import type { StatusView } from '../../../backend/src/domain/views/controlPlane.js';
import { repository } from '../../support/deployment.js';
import { createPm2Home, type Pm2Home } from '../../support/pm2.js';
import { freePortRange } from '../../support/ports.js';
import { secrets, SECRET_SHAPES, shows } from '../../support/secretShapes.js';
import { twoServing } from '../../support/twoServing.js';
import { waitFor } from '../../support/waitFor.js';

const script = fileURLToPath(new URL('../../support/apps/leaky.cjs', import.meta.url));
const cli = join(repository, 'backend/dist/cli.js');
const SERVICE = 'leaky';
const SECRETS = 200;
const SEED = Number(process.env['HOLDFAST_FUZZ_SEED'] ?? 20_261_130);
/** Known to Holdfast: in no text with a shape. */
const TOKEN = 'plain-words-that-nobody-would-guess';
/** The last that the application prints. */
const SAID = 'all is said';
/** Turns the direction of what is written behind it. */
const BIDI = '\u202e';

const given = SECRET_SHAPES.flatMap((shape, index) => {
  const numRuns = Math.ceil(SECRETS / SECRET_SHAPES.length);
  return fc
    .sample(secrets(true), { seed: SEED + index, numRuns })
    .map((secret) => ({ shape: shape.shape, secret, text: shape.write(secret) }));
});
const oneLine = given.filter(({ text }) => /^[\x20-\x7e]*$/.test(text));

let pm2: Pm2Home;
let haPort: number;
let gatewayPort: number;
let logDir: string;
let dataDir: string;
let receiver: Server;
let posted = '';
/** What came out, by where. */
const outputs = new Map<string, string>();

beforeAll(async () => {
  pm2 = createPm2Home();
  haPort = await freePortRange(14);
  gatewayPort = haPort + 13;
  logDir = join(pm2.home, 'ha-logs');
  dataDir = join(pm2.home, 'deep'.repeat(30));
  mkdirSync(logDir);
  receiver = createServer((call, answer) => {
    call.setEncoding('utf8').on('data', (text: string) => (posted += text));
    call.on('end', () => answer.end());
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const texts = join(pm2.home, 'texts.json');
  writeFileSync(texts, JSON.stringify([...given.map(({ text }) => text), `${TOKEN} ${BIDI}`, SAID]));
  const file = join(pm2.home, 'ecosystem.config.cjs');
  const app = {
    name: SERVICE,
    script,
    cwd: pm2.home,
    exec_mode: 'fork',
    instances: 2,
    increment_var: 'PORT',
    env: { PORT: haPort + 1, TEXTS: texts, DB_PASSWORD: given[0]!.secret },
  };
  writeFileSync(
    file,
    `const { defineGateway, defineSupervisor, withAgent } = require(${JSON.stringify(join(repository, 'backend/ecosystem.cjs'))});
     module.exports = { apps: [defineSupervisor({ file: __filename, autoscale: false }), defineGateway({ file: __filename }), withAgent(${JSON.stringify(app)})] };`,
  );
  Object.assign(pm2.env, {
    TMPDIR: pm2.home,
    HA_ECOSYSTEM_FILE: file,
    HA_PORT: String(haPort),
    HA_API_TOKEN: TOKEN,
    HA_DATA_DIR: dataDir,
    HA_LOG_DIR: logDir,
    HA_CONFIG: join(pm2.home, 'config.yml'),
    PORT_COUNT: '12',
    BALANCER_PORT: String(gatewayPort),
    GATEWAY_WORKERS: '1',
    ACCESS_LOG: 'json',
    NOTIFY_WEBHOOK_URL: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hooks/${given[0]!.secret}`,
    MAX_RESTART_ATTEMPTS: '20',
    HANG_TIMEOUT: '1000',
    STABLE_PERIOD: '300',
    RESTART_BACKOFF: '100',
    DRAIN_GRACE: '100',
    KILL_TIMEOUT: '1000',
    LOG_LEVEL: 'debug',
  });
  writeFileSync(join(pm2.home, 'config.yml'), '');
  await pm2.pm2('start', file, '--env', 'production');
  await whole();
}, 60_000);
afterAll(async () => {
  receiver.close();
  await pm2.dispose();
});

const authorization = `Bearer ${TOKEN}`;

async function api(path: string, init: RequestInit = {}): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${haPort}${path}`, {
    ...init,
    headers: { authorization, 'content-type': 'application/json' },
  });
  return answer.text();
}

async function dataOf<T>(path: string): Promise<T> {
  return (JSON.parse(await api(`/api/ha/${path}`)) as { data: T }).data;
}

/** Both serve, with their agents. */
function whole(): Promise<readonly InstanceView[]> {
  return twoServing(() => dataOf<StatusView>('status'));
}

async function tell(instance: InstanceView | undefined, what: string): Promise<void> {
  await (await fetch(`http://127.0.0.1:${instance!.port}/${what}`, { method: 'POST' })).text();
}

/** So many black boxes, each closed. */
function blackBoxes(count: number): Promise<readonly BlackBoxEntry[]> {
  return waitFor(
    async () => {
      const boxes = (await dataOf<{ blackBoxes: readonly BlackBoxEntry[] }>('blackbox')).blackBoxes;
      return boxes.filter(({ outcome }) => outcome !== null).length >= count && boxes;
    },
    { what: `${count} black boxes`, deadlineMs: 20_000 },
  );
}

/** With a target and fields that `fetch` would not send. @returns the whole answer. */
function raw(target: string, headers: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port: gatewayPort, path: target, headers }, (answer) => {
      let text = JSON.stringify(answer.headers);
      answer.setEncoding('utf8').on('data', (more: string) => (text += more));
      answer.on('end', () => resolve(text));
    });
    call.on('error', reject).end();
  });
}

function command(...words: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const options = { env: pm2.env, cwd: pm2.home, timeout: 30_000, maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, [cli, ...words], options, (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Events as they come. @returns what came so far, and ends it. */
async function follow(): Promise<() => string> {
  const abort = new AbortController();
  const answer = await fetch(`http://127.0.0.1:${haPort}/api/ha/stream`, {
    headers: { authorization },
    signal: abort.signal,
  });
  let text = '';
  void (async () => {
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) text += chunk;
  })().catch(() => undefined);
  return () => {
    abort.abort();
    return text;
  };
}

describe(`200 secrets (HOLDFAST_FUZZ_SEED=${SEED})`, () => {
  it('come out nowhere', async () => {
    const stopFollowing = await follow();
    const [first, second] = await whole();
    const live = execFile(process.execPath, [cli, 'logs', SERVICE, '--follow', '--lines', '5'], {
      env: pm2.env,
      cwd: pm2.home,
      maxBuffer: 64 * 1024 * 1024,
    });
    let followed = '';
    for (const stream of [live.stdout, live.stderr]) stream!.on('data', (text: string) => (followed += text));
    await waitFor(() => followed !== '', { what: 'the command to follow' });

    // Through clients of the gateway and callers of the API.
    const answers = await Promise.all([
      ...oneLine.map(({ text }) =>
        raw('/', { 'user-agent': text, referer: `http://x.example/?${encodeURI(text)}` }),
      ),
      ...oneLine.map(({ secret }) =>
        raw(`/lb?token=${secret}`, { authorization, host: `localhost:${gatewayPort}` }),
      ),
      raw(`/lb/nothing?password=${given[1]!.secret}`, { authorization }),
      raw(`/lb/${TOKEN}`, { authorization }),
    ]);
    outputs.set('answers of the gateway', answers.join('\n'));
    const refusals = await Promise.all(
      oneLine.slice(0, 40).flatMap(({ text }) => [
        api('/api/ha/failover', {
          method: 'POST',
          body: JSON.stringify({ serviceName: text.slice(0, 60) }),
        }),
        api(`/api/ha/events?service=${encodeURIComponent(text)}`),
      ]),
    );
    outputs.set('refusals of the API', refusals.join('\n'));
    for (const leaving of [false, false, true]) {
      const report = { gateway: `ghp_${given[0]!.secret}aaaa:1`, workers: 1, leaving, upstreams: [] };
      outputs.set(
        'report',
        await api('/api/ha/gateway/report', { method: 'POST', body: JSON.stringify(report) }),
      );
    }

    // Through the application: what it prints, what it dies of, and what it was doing when it hung.
    await tell(first, 'say');
    await waitFor(() => followed.split(SAID).length === 3, { what: 'both outputs to be followed' });
    for (const { secret } of given.slice(0, 8)) {
      fetch(`http://127.0.0.1:${second!.port}/wait?access_token=${secret}`).catch(() => undefined);
    }
    await tell(second, 'spin');
    await tell(first, 'die?n=0&of=2');
    await blackBoxes(2);
    const [third] = await whole();
    await tell(third, 'die?n=1&of=2');
    const boxes = await blackBoxes(3);

    // Through a restart of the supervisor, with instances that live on.
    const before = await whole();
    await pm2.pm2('restart', 'ha-supervisor');
    expect((await whole()).map(({ pid }) => pid).sort()).toEqual(before.map(({ pid }) => pid).sort());

    live.kill();
    outputs.set('logs --follow', followed);
    outputs.set('event stream', stopFollowing());
    outputs.set('notifications', posted);
    for (const path of [
      'status',
      'metrics',
      'load-balancer',
      'failover-manager',
      'health',
      'events?limit=1000',
      'blackbox',
    ])
      outputs.set(`GET ${path}`, await api(`/api/ha/${path}`));
    for (const { id, files } of boxes) {
      outputs.set(`GET blackbox ${id}`, await api(`/api/ha/blackbox/${id}`));
      for (const { name } of files)
        outputs.set(`GET ${name} of ${id}`, await api(`/api/ha/blackbox/${id}/${name}`));
    }
    outputs.set('metrics of the supervisor', await api('/metrics'));
    for (const path of ['/lb', '/lb/status', '/metrics', '/status.html', '/health'])
      outputs.set(
        `the gateway's ${path}`,
        await raw(path, { authorization, host: `localhost:${gatewayPort}` }),
      );
    const commands = [
      ['logs', SERVICE, '--lines', '5000'],
      ['logs', SERVICE, '--lines', '5000', '--json'],
      ['logs', SERVICE, '--lines', '7'],
      ['events', '--limit', '1000'],
      ['explain'],
      ['status', '--json'],
    ];
    await Promise.all(
      commands.map(async (words) => outputs.set(`holdfast ${words.join(' ')}`, await command(...words))),
    );
    // What is secret there is secret on purpose: the folder is private. Copies of builds are the application's own files.
    for (const file of [...filesUnder(logDir), ...filesUnder(dataDir)]) {
      if (!/session-secret$|\/(?:secrets|builds)\//.test(file)) outputs.set(file, readFileSync(file, 'utf8'));
    }

    const leaks = [...outputs].flatMap(([where, text]) => [
      ...given
        .filter(({ secret }) => shows(text, secret))
        .map(({ shape, secret }) => `${where}: ${shape} ${secret}`),
      ...(text.includes(TOKEN) ? [`${where}: the token`] : []),
      ...(text.includes(BIDI) ? [`${where}: what cannot be seen`] : []),
    ]);
    expect(leaks.slice(0, 40)).toEqual([]);
  });

  it('were there to come out', () => {
    const where = (part: string): string =>
      [...outputs]
        .filter(([name]) => name.includes(part))
        .map(([, text]) => text)
        .join('\n');
    for (const part of [
      'logs --follow',
      `logs ${SERVICE} --lines 5000`,
      'stderr.log',
      'ha-gateway-access.log',
      'refusals',
      'events?',
    ]) {
      expect(where(part), part).toContain('[redacted]');
    }
    expect(where('notifications')).toContain('instance.');
    expect(where('event stream')).toMatch(/event: gateway\.left\nid: .*\ndata: .*\[redacted\]/);
    expect(where('event stream')).toContain('event: instance.');
    expect(where('summary.json')).toContain('spinHere');
    expect(where('report.json').length).toBeGreaterThan(100);
  });
});
