/**
 * Holdfast as a package: packed, installed into an empty folder as README.md says, and run there with nothing but what the
 * package brings.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runToEnd, type Run } from '../../support/checkout.js';
import { createPm2Home, type Pm2Home } from '../../support/pm2.js';
import { freePortRange } from '../../support/ports.js';
import { ReadmeCommands } from '../../support/readme.js';
import { waitFor } from '../../support/waitFor.js';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const section = new ReadmeCommands('As a package');
const files = new ReadmeCommands('Your own application');

/** Ports for the instances. */
const RANGE = 8;

let folder: string;
let pm2: Pm2Home;
let haPort: number;
let env: Readonly<Record<string, string>>;
let installed: ReadonlyMap<string, string>;

/** Types what the README says, in the project's folder. */
function type(script: string, more: Readonly<Record<string, string>> = {}): Promise<Run> {
  const here = script.replaceAll('/opt/holdfast', repository).replaceAll('/srv/my-api', folder);
  return runToEnd('sh', ['-c', here], { ...env, ...more }, folder);
}

/** Every file below node_modules, with its size and the time of its last change. */
function modules(): ReadonlyMap<string, string> {
  const root = join(folder, 'node_modules');
  return new Map(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(root, path), [statSync(path).size, statSync(path).mtimeMs].join()]),
  );
}

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-package-')));
  pm2 = createPm2Home();
  haPort = await freePortRange(2 + RANGE);
  env = {
    ...pm2.env,
    HA_PORT: String(haPort),
    BALANCER_PORT: String(haPort + 1),
    GATEWAY_WORKERS: '1',
    PORT_COUNT: String(RANGE),
    // Packages that `npm ci` of this checkout has fetched are in npm's cache.
    npm_config_prefer_offline: 'true',
    npm_config_audit: 'false',
  };
  const { code, stderr } = await type(section.takeBlock('cd /opt/holdfast'));
  expect({ code, stderr }).toMatchObject({ code: 0 });
  installed = modules();
});
afterAll(async () => {
  await pm2.dispose();
  rmSync(folder, { recursive: true, force: true });
});

it('brings what it needs and nothing else', () => {
  const own = [...installed.keys()].filter((name) => name.startsWith('holdfast/'));
  expect(own).toContain('holdfast/backend/dist/supervisor.js');
  expect(own).toContain('holdfast/LICENSE');
  expect(
    own.filter((name) =>
      /\.test\.|\/src\/|\/testing\/|\.map$|^holdfast\/(?:examples|test|bench|node_modules)\//.test(name),
    ),
  ).toEqual([]);
  for (const sample of ['mysql2', 'ioredis', 'libsql'])
    expect(readdirSync(join(folder, 'node_modules'))).not.toContain(sample);
});

it('shows an ecosystem file to begin with where there is none', async () => {
  const { code, stderr } = await type('npx holdfast up');
  expect(code).toBe(1);
  expect(stderr).toContain(
    `${folder} has no ecosystem file, so there is nothing to start. Write one, ${folder}/ecosystem.config.js:`,
  );
  expect(stderr).toContain("require('holdfast/ecosystem')");
  const [, shown = ''] = /^(const [^]*^};)$/m.exec(stderr) ?? [];
  writeFileSync(join(folder, 'shown.cjs'), shown);
  const defined = await type('node -p "require(\'./shown.cjs\').apps.map(({ name }) => name).join()"');
  expect(defined.stdout).toBe('ha-supervisor,ha-gateway,my-api\n');
  rmSync(join(folder, 'shown.cjs'));
});

it('runs the README’s application from its own ecosystem file, behind the gateway', async () => {
  writeFileSync(join(folder, 'server.js'), files.file('/srv/my-api/server.js'));
  const file = files
    .file('/srv/my-api/ecosystem.config.js')
    .replace('/opt/holdfast/backend/ecosystem.cjs', 'holdfast/ecosystem')
    .replace('14000', String(haPort + 2));
  writeFileSync(join(folder, 'ecosystem.config.js'), file);
  const up = await type(section.take('npx holdfast up'));
  expect(up).toMatchObject({ code: 0, stderr: '' });
  expect(up.stdout).toContain('✓ Started ha-supervisor, ha-gateway, my-api.');
  expect(up.stdout).toMatch(/Try next: npx holdfast status.*\nStop it: {2}npx holdfast down\n/);
  const answer = await waitFor(
    async () => {
      const response = await fetch(`http://127.0.0.1:${haPort + 1}/`);
      return response.ok ? response.text() : null;
    },
    { what: 'an answer through the gateway' },
  );
  expect(answer).toMatch(/^hello from \d+\n$/);
  const status = await type(section.take('npx holdfast status'));
  expect(status.stdout).toMatch(/my-api +healthy +2 of 2 serving/);
});

it('finds its deployment from elsewhere by HA_ROOT alone, and says where it is otherwise', async () => {
  const program = join(folder, 'node_modules/.bin/holdfast');
  const { stdout } = await runToEnd(program, ['status'], { ...env, HA_ROOT: folder });
  expect(stdout).toMatch(/my-api +healthy/);
  mkdirSync(join(folder, 'deeper'));
  const pids = (await pm2.jlist()).map(({ pid }) => pid);
  const other = await runToEnd(program, ['down'], env, join(folder, 'deeper'));
  expect((await pm2.jlist()).map(({ pid }) => pid)).toEqual(pids);
  expect(other.stderr).toContain(`belongs to ${folder}; stop it there: cd ${folder} && npx holdfast down`);
});

it('is rolled out without an installation and a build', async () => {
  const pids = async () => (await pm2.jlist()).map(({ name, pid }) => `${name} ${pid}`);
  const before = await pids();
  const { code, stdout, stderr } = await type('npx holdfast deploy', { CANARY_PERIOD: '300' });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('my-api: ');
  const after = await pids();
  const changed = after.filter((row) => !before.includes(row)).map((row) => row.split(' ')[0]);
  expect(changed).toEqual(['my-api', 'my-api']);
});

it('stops, and has written to the project’s folder and never below node_modules', async () => {
  const down = await type(section.take('npx holdfast down'));
  expect(down.code).toBe(0);
  expect(down.stdout).toContain("PM2's list is empty; its daemon was ended, too.");
  expect([...modules()]).toEqual([...installed]);
  const made = readdirSync(folder).sort();
  expect(made).toEqual(expect.arrayContaining(['data', 'logs']));
  expect(readdirSync(join(folder, 'data'))).toContain('supervisor-state.json');
  expect(readdirSync(join(folder, 'logs'))).toContain('ha-supervisor.log');
  expect(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))).toMatchObject({
    dependencies: { holdfast: expect.stringContaining('holdfast-0.1.0.tgz') },
  });
});

it('has run every command of the section', () => {
  expect(section.left).toEqual([]);
});
