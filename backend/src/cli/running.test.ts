/** What runs already, as PM2 lists it and as the port answers, beside what is asked for. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startHarness, type Harness } from '../api/testing/harness.js';
import { createContext, type CliContext } from './context.js';
import type { Pm2App } from './pm2Command.js';
import { findRunning, projectOf, requireOwn } from './running.js';
import { Terminal } from './terminal.js';

let base: string;
let root: string;
let other: string;
let harness: Harness;

beforeEach(async () => {
  harness = await startHarness();
  base = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-running-')));
  [root, other] = [join(base, 'mine'), join(base, 'theirs')];
  for (const folder of [root, other]) {
    for (const part of ['backend', 'scripts', 'examples']) mkdirSync(join(folder, part), { recursive: true });
    for (const file of ['backend/ecosystem.cjs', 'scripts/holdfast.sh', 'ecosystem.cluster.config.js'])
      writeFileSync(join(folder, file), '');
  }
});
afterEach(async () => {
  await harness.close();
  rmSync(base, { recursive: true, force: true });
});

/** @param port where the supervisor is expected. */
function context(port: number, rows: readonly Pm2App[]): CliContext {
  const terminal = new Terminal({ write: () => true }, { write: () => true }, {});
  const env = { HA_ROOT: root, HA_PORT: String(port), PM2_HOME: join(base, 'pm2'), HOME: base };
  const made = createContext(env, terminal, false);
  return { ...made, pm2: { list: () => Promise.resolve(rows) } as unknown as CliContext['pm2'] };
}

/** No process has it: nothing listens for it. */
const FREE_PID = 0x7fff_fffe;

const row = (name: string, more: Partial<Pm2App>): Pm2App => ({
  name,
  pmId: 0,
  pid: FREE_PID,
  status: 'online',
  port: null,
  restarts: 0,
  run: null,
  lastExitCode: null,
  outFile: null,
  errorFile: null,
  script: null,
  application: { namespace: 'default', script: '', cwd: '' },
  holdfast: {},
  ...more,
});

const supervisor = (project: string, file = 'ecosystem.cluster.config.js'): Pm2App =>
  row('ha-supervisor', { holdfast: { HA_ROOT: project, HA_ECOSYSTEM_FILE: join(project, file) } });

/** A port where nothing answers. */
const SILENT = 1;

describe('findRunning', () => {
  it.each([
    ['nothing listed, nothing answers', () => [], 'nothing'],
    ['the same file of the same project', () => [supervisor(root)], 'ours'],
    ['another file of the same project', () => [supervisor(root, 'own.config.js')], 'changed'],
    ['another project', () => [supervisor(other)], 'foreign'],
    [
      'another project, its supervisor stopped',
      () => [{ ...supervisor(other), pid: null, status: 'stopped' }],
      'foreign',
    ],
    [
      'the gateway of another project alone',
      () => [row('ha-gateway', { holdfast: { HA_ROOT: other } })],
      'foreign',
    ],
    [
      'a service of another project under the same name',
      () => [row('shop', { script: join(other, 'examples/shop.js') })],
      'foreign',
    ],
    [
      'another program under the same name, of no Holdfast project',
      () => [row('shop', { script: '/srv/shop.js' })],
      'nothing',
    ],
    [
      'a service of another project under another name',
      () => [row('words', { script: join(other, 'examples/words.js') })],
      'nothing',
    ],
  ])('%s', async (_title, rows: () => Pm2App[], kind) => {
    const names = ['ha-supervisor', 'ha-gateway', 'shop'];
    const running = await findRunning(context(SILENT, rows()), rows(), names);
    expect(running.kind).toBe(kind);
  });

  it('a project that is reached through a link is the same one', async () => {
    symlinkSync(root, join(base, 'link'));
    const rows = [supervisor(join(base, 'link'))];
    expect(await findRunning(context(SILENT, rows), rows, ['ha-supervisor'])).toEqual({ kind: 'ours' });
  });

  it('a supervisor that answers and is not the one of this PM2', async () => {
    for (const rows of [[], [supervisor(root)]]) {
      const running = await findRunning(context(harness.port, rows), rows, ['ha-supervisor']);
      expect(running).toMatchObject({ kind: 'elsewhere', holder: expect.stringContaining(`${process.pid}`) });
    }
  });
});

describe('requireOwn', () => {
  it.each([
    [() => [supervisor(root, 'own.config.js')], /own\.config\.js\n.*ecosystem\.cluster[^]*up --replace/],
    [
      () => [supervisor(other)],
      /another project folder already: .*theirs\.[^]*theirs\/scripts\/holdfast\.sh down/,
    ],
  ])('says what runs and what to do', async (rows: () => Pm2App[], message) => {
    const made = context(SILENT, rows());
    const running = await findRunning(made, rows(), ['ha-supervisor']);
    await expect(requireOwn(made, running, 'up --replace')).rejects.toMatchObject({
      code: 'deployment.other',
      message: expect.stringMatching(message) as string,
    });
  });
});

it('projectOf finds the folder of a Holdfast above a program', () => {
  expect(projectOf(row('a', { script: join(other, 'examples/deep/a.js') }))).toBe(other);
  expect(projectOf(row('a', { script: '/srv/a.js' }))).toBeNull();
});
