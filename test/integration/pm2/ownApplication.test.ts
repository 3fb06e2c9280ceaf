/**
 * The README's "Your own application", done as it stands there: its files are taken from the document, only places
 * and ports are others. In this order.
 */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ServiceView } from '../../../backend/src/domain/views/serviceView.js';
import type { StatusView } from '../../../backend/src/domain/views/controlPlane.js';
import { createCheckout, QUICK, type Checkout } from '../../support/checkout.js';
import { linesOf, ReadmeCommands } from '../../support/readme.js';
import { waitFor } from '../../support/waitFor.js';

const section = new ReadmeCommands('Your own application');

let checkout: Checkout;
let folder: string;

beforeAll(async () => {
  checkout = await createCheckout({ ...QUICK, AUTOSCALE: 'false' });
  folder = mkdtempSync(join(tmpdir(), 'holdfast-own-'));
  for (const name of ['server.js', 'ecosystem.config.js'])
    writeFileSync(join(folder, name), here(section.file(`/srv/my-api/${name}`)));
});
afterAll(async () => {
  await checkout.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** The places and ports of this test, in text of the README. */
function here(text: string): string {
  return text
    .replaceAll('/opt/holdfast', checkout.root)
    .replaceAll('/srv/my-api', folder)
    .replaceAll('14000', String(checkout.backendPort));
}

async function serving(name: string, count: number): Promise<ServiceView> {
  return waitFor(
    async () => {
      const { services } = await checkout.api<StatusView>('/api/ha/status');
      return services.find((service) => service.name === name && service.serving === count);
    },
    { what: `${count} of ${name} serving`, deadlineMs: 30_000 },
  );
}

const ask = async (port: number): Promise<string> => (await fetch(`http://127.0.0.1:${port}/`)).text();

it('starts from its own ecosystem file, and is found where npm start says', async () => {
  const { code, stdout, stderr } = await checkout.type(here(section.takeBlock('cd /opt/holdfast')));
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const printed = linesOf(checkout.asDocumented(stdout.replaceAll(String(checkout.backendPort), '14000')));
  const documented = section.printed('Started ha-supervisor');
  expect(printed.filter((line) => documented.includes(line))).toEqual(documented);
  expect(await ask(checkout.backendPort)).toMatch(/^hello from \d+\n$/);
  expect(await ask(checkout.backendPort + 1)).toMatch(/^hello from \d+\n$/);
  const gateway = Number(checkout.env['BALANCER_PORT']);
  expect(await waitFor(() => ask(gateway), { what: 'an answer through the gateway' })).toMatch(/^hello from/);
});

it('is rolled out behind a canary', async () => {
  const before = (await serving('my-api', 2)).instances.map(({ pid }) => pid);
  const { code, stdout, stderr } = await checkout.type(section.take('npx holdfast deploy'));
  expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
  const after = (await serving('my-api', 2)).instances.map(({ pid }) => pid);
  expect(after.filter((pid) => before.includes(pid))).toEqual([]);
});

it('has its files put back after a deploy that failed', async () => {
  const file = join(folder, 'server.js');
  const good = readFileSync(file, 'utf8');
  const kept = join(checkout.root, 'data/builds/my-api/files/server.js');
  await waitFor(() => existsSync(kept) && readFileSync(kept, 'utf8') === good, {
    what: 'a copy of what serves',
    deadlineMs: 30_000,
  });
  writeFileSync(file, "throw new Error('a bad build');\n");
  const failed = await checkout.run('scripts/holdfast.sh', ['deploy', 'my-api']);
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringMatching(/a bad build[^]*--put-back/) });
  expect(await serving('my-api', 2)).toMatchObject({
    unprovenFiles: { problem: expect.stringContaining('did not verify') },
  });
  expect((await checkout.run('scripts/holdfast.sh', ['status'])).stdout).toContain(
    'deploy --put-back my-api',
  );
  const done = await checkout.run('scripts/holdfast.sh', ['deploy', 'my-api', '--put-back']);
  expect(done).toMatchObject({ code: 0 });
  expect(readFileSync(file, 'utf8')).toBe(good);
  expect(await serving('my-api', 2)).toMatchObject({ unprovenFiles: null });
});

it('has run every command of the section', () => {
  expect(section.left).toEqual([]);
});

it('is joined by one that PM2 runs already, as soon as config.yml names it', async () => {
  const port = checkout.frontendPort;
  copyFileSync(join(folder, 'server.js'), join(folder, 'legacy.js'));
  const definition = { apps: [{ name: 'legacy', script: 'legacy.js', cwd: folder, env: { PORT: port } }] };
  writeFileSync(join(folder, 'legacy.json'), JSON.stringify(definition));
  await checkout.pm2.pm2('start', join(folder, 'legacy.json'));
  const first = (await checkout.pm2.jlist()).find(({ name }) => name === 'legacy');
  const lines = [
    'services:',
    '  legacy:',
    `    startPort: ${port}`,
    '    minInstances: 2',
    '    portCount: 10',
    '',
  ];
  appendFileSync(join(checkout.root, 'config.yml'), lines.join('\n'));
  const { instances } = await serving('legacy', 2);
  expect(instances.map(({ pid }) => pid)).toContain(first?.pid);
  expect(instances.map((instance) => instance.port).sort()).toEqual([port, port + 1]);
  expect(await ask(port + 1)).toMatch(/^hello from \d+\n$/);
});

it('does no harm to one that never passes the probe: its originals serve on', async () => {
  const port = checkout.frontendPort + 10;
  const source = [
    "const { createServer } = require('node:http');",
    "const answer = (q, s) => s.writeHead(q.url === '/' ? 200 : 404).end(`bare ${process.pid}`);",
    "createServer(answer).listen(process.env.PORT, '127.0.0.1');",
  ];
  writeFileSync(join(folder, 'bare.js'), source.join('\n'));
  const app = { name: 'bare', script: 'bare.js', cwd: folder, instances: 2, exec_mode: 'cluster' };
  const definition = { apps: [{ ...app, increment_var: 'PORT', env: { PORT: port } }] };
  writeFileSync(join(folder, 'bare.json'), JSON.stringify(definition));
  await checkout.pm2.pm2('start', join(folder, 'bare.json'));
  const pidsOf = async (): Promise<readonly number[]> =>
    (await checkout.pm2.jlist()).filter(({ name }) => name === 'bare').map(({ pid }) => pid ?? 0);
  const originals = await pidsOf();
  const settings = {
    startPort: port,
    minInstances: 2,
    portCount: 10,
    startTimeout: 1_000,
    unhealthyThreshold: 2,
  };
  const lines = Object.entries({ ...settings, healthCheckFastInterval: 100 });
  appendFileSync(
    join(checkout.root, 'config.yml'),
    ['  bare:', ...lines.map(([name, value]) => `    ${name}: ${value}`), ''].join('\n'),
  );
  const { state, reason } = await waitFor(
    async () => {
      const { services } = await checkout.api<StatusView>('/api/ha/status');
      return services.find((service) => service.name === 'bare' && service.state === 'unverified');
    },
    { what: 'bare to be found unverified', deadlineMs: 30_000 },
  );
  expect({ state, reason }).toMatchObject({
    reason: expect.stringMatching(/:\d+\/health: HTTP 404, .* set healthPath of bare/),
  });
  // Former versions had stopped both by then: a replacement had its second to start, and was not ready.
  const until = Date.now() + 6_000;
  while (Date.now() < until) {
    expect(await ask(port)).toBe(`bare ${originals[0]}`);
    expect(await ask(port + 1)).toBe(`bare ${originals[1]}`);
    expect(await pidsOf()).toEqual(originals);
  }
  expect(await serving('bare', 2)).toMatchObject({ state: 'unverified' });
});

it('is stopped without what the ecosystem file does not define', async () => {
  const { code, stdout } = await checkout.npm('stop');
  expect(code).toBe(0);
  expect(stdout).toContain('Stopped my-api (2 processes).');
  expect(stdout).toContain("PM2's other applications go on: legacy, bare.");
  expect(await ask(checkout.frontendPort)).toMatch(/^hello from \d+\n$/);
});

it('starts once what takes its time, what stands behind that in the file, and never what has autostart: false', async () => {
  rmSync(join(checkout.root, 'config.yml'), { force: true });
  const waiting = [
    "const { createServer } = require('node:http');",
    "const server = createServer((q, a) => a.end('ok'));",
    "setTimeout(() => server.listen(process.env.PORT, '127.0.0.1', () => process.send('ready')), 1_500);",
  ];
  writeFileSync(join(folder, 'waiting.js'), waiting.join('\n'));
  const start = { cwd: folder, instances: 2, exec_mode: 'cluster', increment_var: 'PORT', filter_env: [''] };
  const app = (name: string, index: number, more: object): object => ({
    ...start,
    name,
    script: 'server.js',
    env: { PORT: checkout.backendPort + 5 * index },
    ...more,
  });
  // PM2 starts two applications at a time, and waits for each instance of these.
  const slow = { script: 'waiting.js', wait_ready: true, listen_timeout: 10_000 };
  const apps = [app('slow-a', 0, slow), app('slow-b', 1, slow), app('quick', 2, {})];
  apps.push(app('manual', 3, { autostart: false, instances: 1 }));
  const text = `const { defineSupervisor, withAgent } = require(${JSON.stringify(join(checkout.root, 'backend/ecosystem.cjs'))});
    module.exports = { apps: [defineSupervisor({ file: __filename }), ...${JSON.stringify(apps)}.map(withAgent)] };`;
  writeFileSync(join(folder, 'ecosystem.config.js'), text);
  const { code, stderr } = await checkout.npm('start');
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const rows = await checkout.pm2.jlist();
  const of = (name: string) => rows.filter((row) => row.name === name).map(({ pm2_env: env }) => env);
  for (const name of ['slow-a', 'slow-b', 'quick']) {
    expect(of(name)).toMatchObject([1, 2].map(() => ({ status: 'online', restart_time: 0 })));
    expect(of(name).map((env) => env['NODE_APP_INSTANCE'])).toEqual([0, 1]);
    const { instances, state } = await serving(name, 2);
    expect(state).toBe('healthy');
    expect(new Set(instances.map(({ port }) => port)).size).toBe(2);
  }
  expect(of('manual')).toMatchObject([{ status: 'stopped', restart_time: 0 }]);
  expect(await serving('manual', 0)).toMatchObject({ state: 'finished' });
  const { events } = await checkout.api<{ events: readonly { type: string; service: string | null }[] }>(
    '/api/ha/events?limit=1000',
  );
  const started = events.filter(({ type, service }) => type === 'instance.started' && service !== 'my-api');
  expect(started.map(({ service }) => service).filter((name) => name !== 'legacy')).toEqual([]);
  const { code: stopped } = await checkout.npm('stop');
  expect(stopped).toBe(0);
});

/** Mistakes of an application, each with what `npm start` says of it. PORT is its own, ELSEWHERE is another. */
const MISTAKES: Readonly<
  Record<string, { readonly mode: 'cluster' | 'fork'; readonly code: string; readonly says: RegExp }>
> = {
  'no-health': {
    mode: 'cluster',
    code: "require('http').createServer((q, a) => { a.statusCode = q.url === '/' ? 200 : 404; a.end() }).listen(PORT)",
    says: /GET http:\/\/127\.0\.0\.1:PORT\/health answered 404; .* \/ answers 200\.\s+Set healthPath: \/ for no-health/,
  },
  'host-list': {
    mode: 'fork',
    code: "require('http').createServer((q, a) => { a.statusCode = q.headers.host === 'shop.example' ? 200 : 403; a.end('Invalid Host header') }).listen(PORT)",
    says: /answered 403; expected is 200–399; it was asked as host 127\.0\.0\.1:PORT and says .*\s+Set healthHost for host-list/,
  },
  'hard-coded': {
    mode: 'cluster',
    code: "require('http').createServer((q, a) => a.end('ok')).listen(ELSEWHERE)",
    says: /GET http:\/\/127\.0\.0\.1:PORT\/health was refused: (?:it listens|PM2 listens for applications like it) on port ELSEWHERE instead\./,
  },
  throws: {
    mode: 'cluster',
    code: "throw new TypeError('boom of a build')",
    says: /TypeError: boom of a build \(.*throws\.js:\d+:\d+\)[^]*throws-err.*\.log:\n[^]*TypeError: boom of a build/,
  },
  'no-module': {
    mode: 'fork',
    code: "require('no-such-package')",
    says: /it cannot find the module no-such-package[^]*npm install no-such-package/,
  },
  done: {
    mode: 'fork',
    code: 'process.exit(0)',
    says: /exit code 0, without an error: it did not stay to listen/,
  },
  'no-http': {
    mode: 'fork',
    code: "require('net').createServer((s) => s.end('220 hello\\r\\n')).listen(PORT, '127.0.0.1')",
    says: /GET http:\/\/127\.0\.0\.1:PORT\/health brought no HTTP answer[^]*healthProbe: tcp/,
  },
};

/** No mistake: it listens where `localhost` leads on many machines, and is found there. */
const ON_IPV6 = "require('http').createServer((q, a) => a.end('ok')).listen(process.env.PORT, '::1')";

it('says of each of many mistakes what it is, before its time is over', async () => {
  const names = Object.keys(MISTAKES);
  // What was said there of others is over.
  rmSync(join(checkout.root, 'config.yml'), { force: true });
  const portOf = (index: number): number => checkout.frontendPort + 13 + index;
  const apps = names.map((name, index) => {
    const { mode, code } = MISTAKES[name]!;
    const elsewhere = String(portOf(names.length));
    writeFileSync(
      join(folder, `${name}.js`),
      code.replaceAll('PORT', 'process.env.PORT').replaceAll('ELSEWHERE', elsewhere),
    );
    const [outFile, errorFile] = ['out', 'err'].map((kind) => join(folder, `${name}-${kind}.log`));
    const logs = { out_file: outFile, error_file: errorFile, exec_mode: mode, filter_env: [''] };
    return { name, script: `${name}.js`, cwd: folder, port: portOf(index), ...logs };
  });
  for (const mode of ['cluster', 'fork'] as const) {
    const name = `ipv6-${mode}`;
    writeFileSync(join(folder, `${name}.js`), ON_IPV6);
    const port = portOf(apps.length + 1);
    const logs = { out_file: '/dev/null', error_file: '/dev/null', exec_mode: mode, filter_env: [''] };
    apps.push({ name, script: `${name}.js`, cwd: folder, port, ...logs });
  }
  const text = `const { defineSupervisor, withAgent } = require(${JSON.stringify(join(checkout.root, 'backend/ecosystem.cjs'))});
    module.exports = { apps: [defineSupervisor({ file: __filename }), ...${JSON.stringify(apps)}.map(withAgent)] };`;
  writeFileSync(join(folder, 'ecosystem.config.js'), text);
  const { code, stderr } = await checkout.npm('start');
  expect(code).toBe(1);
  expect(stderr).toMatch(/Not everything is healthy after (?:[\d.]+ ms|[1-5]?\d(?:\.\d)? s);/);
  for (const [index, name] of names.entries()) {
    const { says } = MISTAKES[name]!;
    const source = says.source.replaceAll('PORT', String(portOf(index)));
    expect(stderr).toMatch(
      new RegExp(source.replaceAll('ELSEWHERE', String(portOf(names.length))), says.flags),
    );
    expect(stderr).toContain(`${name}#`);
  }
  const { services } = await checkout.api<StatusView>('/api/ha/status');
  expect(services.flatMap(({ diagnosis }) => diagnosis?.service ?? [])).toEqual(
    expect.arrayContaining(names),
  );
  expect(services.filter(({ name }) => name.startsWith('ipv6-'))).toMatchObject(
    ['cluster', 'fork'].map((mode) => ({ serving: 1, diagnosis: null, instances: [{ mode, host: '::1' }] })),
  );
  const shown = await checkout.run('scripts/holdfast.sh', ['status']);
  expect(shown.stdout).toContain('brought no HTTP answer');
});
