/**
 * The same process, whether PM2 starts it by an ecosystem file or Holdfast by the same file: many spellings of PM2's
 * options, one `pm2 start`, then one more instance of each by the process manager.
 */
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../backend/src/adapters/clock.js';
import { EcosystemReader } from '../../../backend/src/adapters/pm2/ecosystem.js';
import {
  createPm2ProcessManager,
  type Pm2ProcessManager,
} from '../../../backend/src/adapters/pm2/processManager.js';
import { startLogRotation } from '../../../backend/src/adapters/pm2/logRotation.js';
import { startDifferences } from '../../../backend/src/adapters/pm2/startDifferences.js';
import { createPm2Home, type Pm2Home } from '../../support/pm2.js';
import { waitFor } from '../../support/waitFor.js';

const nothing = (): void => undefined;
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };

let pm2: Pm2Home;
let folder: string;
let manager: Pm2ProcessManager;
let reader: EcosystemReader;
/** Of applications that PM2 has not started. */
let later: EcosystemReader;
/** Of an application whose file is reached by the link `current`. */
let released: EcosystemReader;

/** What the kernel says of a process. */
interface Seen {
  readonly commandLine: string;
  readonly program: string;
  readonly cwd: string;
  readonly user: string;
  readonly group: string;
  readonly env: Readonly<Record<string, string>>;
}

function look(pid: number): Seen {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
    .split('\0')
    .filter((line) => line.includes('='));
  return {
    commandLine: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim(),
    program: readlinkSync(`/proc/${pid}/exe`),
    cwd: readlinkSync(`/proc/${pid}/cwd`),
    user: /^Uid:\s+(.*)$/m.exec(status)?.[1] ?? '',
    group: /^Gid:\s+(.*)$/m.exec(status)?.[1] ?? '',
    env: Object.fromEntries(
      environment.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    ),
  };
}

/** What a supervisor that is started from the same shell has, too. */
const BASE = /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|NVM_DIR|PM2_HOME)$/;

/**
 * Of one particular process, or of the shell that `pm2 start` was typed in (docs/guides/your-application.md): these differ.
 * `kill_timeout` is never below what Holdfast needs, `vizion` (a look at the source repository) is always off.
 */
const OF_ONE_PROCESS = new Set(
  (
    'unique_id pm_id pm_uptime created_at pm_pid_path pm_out_log_path pm_err_log_path pm_log_path NODE_APP_INSTANCE INSTANCE PORT ' +
    'instances kill_timeout vizion vizion_running km_link PM2_USAGE PM2_JSON_PROCESSING PM2_INTERACTOR_PROCESSING PWD _ NODE_UNIQUE_ID ' +
    'NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE pm2_env'
  ).split(' '),
);

function comparable({ env, ...process }: Seen, shell: NodeJS.ProcessEnv): object {
  const own = Object.entries(env).filter(
    ([name]) => !OF_ONE_PROCESS.has(name) && (!(name in shell) || name === 'HOME'),
  );
  return { ...process, env: Object.fromEntries(own) };
}

const isRoot = process.getuid?.() === 0;

/** By name; each is what an application of the file adds to a name. */
const SPELLINGS: Readonly<Record<string, object>> = {
  plain: { script: './app.js' },
  'with-arguments': { script: 'node app.js --flag "a b"' },
  'quoted-args': { script: 'app.js', args: `--one "two words" 'three more' --name="x y"` },
  'args-as-list': { script: 'app.js', args: ['--one', 2] },
  'node-args-as-text': { script: 'app.js', node_args: '--no-warnings --title="a title"' },
  'interpreter-args': { script: 'app.js', interpreterArgs: ['--no-warnings'] },
  cluster: { script: 'app.js', exec_mode: 'cluster', args: 'x y' },
  'cluster-by-instances': { script: 'app.js', instances: 1 },
  'no-extension': { script: './app' },
  executable: { script: './run.sh', interpreter: 'none' },
  shell: { script: './run.sh' },
  'on-the-path': { script: 'sleep', args: '600' },
  command: { cmd: 'app.js', cwd: 'inner/..', instance_var: 'INSTANCE' },
  execute: { script: 'app.js', instances: 1, execute_command: true },
  typescript: { script: 'app.ts', interpreter: './mapped' },
  mapped: { script: 'app.tsx' },
  variables: {
    script: 'app.js',
    env: { N: 1, T: true, O: { a: 1 }, HOME: '/nowhere' },
    env_production: { N: 2 },
  },
  filtered: { script: 'app.js', filter_env: [''], env: { PATH: process.env['PATH'], HOME: '/root' } },
  'log-file': {
    script: 'app.js',
    log: true,
    time: true,
    merge_logs: false,
    out_file: 'logs/out.log',
    error_file: '/dev/null',
  },
  ...(isRoot
    ? {
        'uid-alone': { script: 'app.js', uid: 65_534 },
        'user-by-name': { script: 'app.js', user: 'nobody' },
        'user-and-group': { script: 'app.js', uid: 'nobody', gid: 'daemon' },
      }
    : {}),
};

beforeAll(async () => {
  pm2 = createPm2Home();
  folder = pm2.home;
  chmodSync(folder, 0o755); // other users run its files
  mkdirSync(join(folder, 'inner'), { recursive: true });
  const bin = join(pm2.home, 'bin');
  mkdirSync(bin);
  const app = 'setInterval(() => {}, 1e6);\n';
  const node = `#!/bin/sh\nexec ${process.execPath} -e 'setInterval(() => {}, 1e6)' "$@"\n`;
  for (const name of ['app.js', 'app.ts', 'app.tsx']) writeFileSync(join(folder, name), app);
  writeFileSync(join(folder, 'app'), `#!/usr/bin/env node\n${app}`);
  writeFileSync(join(folder, 'run.sh'), '#!/bin/sh\nexec sleep 600\n', { mode: 0o755 });
  // A program in the place of a TypeScript runner, and PM2's own choice for .tsx.
  writeFileSync(join(folder, 'mapped'), node, { mode: 0o755 });
  writeFileSync(join(bin, 'bun'), node, { mode: 0o755 });
  const path = `${bin}:${process.env['PATH'] ?? ''}`;
  vi.stubEnv('PATH', path);
  pm2.env['PATH'] = path;
  for (const name of Object.keys(pm2.env)) if (!BASE.test(name)) delete pm2.env[name];
  const file = join(folder, 'ecosystem.config.js');
  const apps = Object.entries(SPELLINGS).map(([name, app]) => ({ name, ...app }));
  writeFileSync(
    file,
    `module.exports = ${JSON.stringify({ apps, deploy: { production: { env: { DEPLOYED: 'yes' } } } })}`,
  );
  await pm2.pm2('start', file, '--env', 'production');
  reader = new EcosystemReader({ file, pm2Home: pm2.home, envName: 'production' });
  for (const release of ['1', '2']) {
    const place = join(folder, 'releases', release);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'app.js'), app);
    const apps = `[{ name: 'released', script: 'app.js' , env: { VERSION: '${release}' } }]`;
    writeFileSync(join(place, 'ecosystem.config.js'), `module.exports = { apps: ${apps} }`);
  }
  symlinkSync('releases/1', join(folder, 'current'));
  released = new EcosystemReader({ file: join(folder, 'current/ecosystem.config.js'), pm2Home: pm2.home });
  const chatty = `const line = 'x'.repeat(999) + '\\n'; setInterval(() => process.stdout.write(line.repeat(100)), 100);`;
  writeFileSync(join(folder, 'chatty.js'), chatty);
  const laterFile = join(folder, 'later.config.js');
  writeFileSync(laterFile, `module.exports = { apps: [{ name: 'chatty', script: 'chatty.js' }] }`);
  later = new EcosystemReader({ file: laterFile, pm2Home: pm2.home });
  manager = createPm2ProcessManager({
    pm2Home: pm2.home,
    services: () => [...Object.keys(SPELLINGS), 'chatty', 'released'],
    definitions: async () => [...(await reader.read()), ...(await later.read()), ...(await released.read())],
    portRange: () => null,
    killTimeoutMs: () => 1_000,
    clock: systemClock,
    logger: silent,
  });
}, 120_000);

afterAll(async () => {
  vi.unstubAllEnvs();
  await manager.close();
  await pm2.dispose();
});

describe('a replacement is the same process as the first instance', () => {
  it.each(Object.keys(SPELLINGS))('%s', async (service) => {
    const first = (await manager.list()).find((row) => row.service === service);
    expect(first?.pid, 'PM2 has started it').not.toBeNull();
    const row = manager.rowsOf(service)[0]!;
    const planned = (await reader.read()).find(({ name }) => name === service);
    const isSamePlace = (a: string, b: string): boolean => realpathSync(a) === realpathSync(b);
    expect(startDifferences(planned!.definition!, row.record, isSamePlace)).toEqual([]);
    const second = await manager.startInstance(service);
    const { commandLine } = look(first!.pid!);
    // A wrapper becomes its program.
    await waitFor(() => look(second.pid!).commandLine === commandLine, { what: commandLine });
    expect(comparable(look(second.pid!), pm2.env)).toEqual(comparable(look(first!.pid!), pm2.env));
    await manager.removeInstance(second);
  });
});

it('after a link to a release was switched, the new release is started, and the old one may be deleted', async () => {
  const startedFrom = async (): Promise<object> => {
    const started = await manager.startInstance('released');
    const { env, cwd } = look(started.pid!);
    await manager.removeInstance(started);
    return { version: env['VERSION'], cwd };
  };
  expect(await startedFrom()).toMatchObject({ version: '1', cwd: join(folder, 'releases/1') });
  symlinkSync('releases/2', join(folder, 'next'));
  renameSync(join(folder, 'next'), join(folder, 'current'));
  expect(await startedFrom()).toMatchObject({ version: '2', cwd: join(folder, 'releases/2') });
  rmSync(join(folder, 'releases/1'), { recursive: true });
  expect(await startedFrom()).toMatchObject({ version: '2', cwd: join(folder, 'releases/2') });
});

it('output of 1 MB a second stays within twice LOG_MAX_SIZE, in the file and in the rotated one', async () => {
  const chatty = await manager.startInstance('chatty');
  const file = manager.outputLogOf(chatty)!;
  const stop = startLogRotation({
    files: () => [file],
    limits: { maxBytes: 1024 * 1024, maxAgeMs: 86_400_000, keep: 3 },
    reopen: () => manager.reopenLogs(),
    clock: systemClock,
    logger: silent,
  });
  const sizes: number[] = [];
  const sizeOf = (name: string): number => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
  try {
    await waitFor(
      () => {
        sizes.push(sizeOf(file), sizeOf(`${file}.1`));
        return sizeOf(`${file}.2`) > 0;
      },
      { what: 'the second rotation', intervalMs: 20, deadlineMs: 30_000 },
    );
  } finally {
    stop();
    await manager.removeInstance(chatty);
  }
  expect(Math.max(...sizes)).toBeLessThan(2 * 1024 * 1024);
});
