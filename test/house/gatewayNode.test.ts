/**
 * GATEWAY_NODE as the ecosystem file and `npm run balancer` read it: each in a process of its own, in a project with a build
 * that is there, but empty. Where the gateway really runs is seen in test/integration/pm2/gateway.deployment.test.ts.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

let project = '';
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'holdfast-node-'));
  mkdirSync(join(project, 'backend/dist'), { recursive: true });
  for (const name of [
    'deployment',
    'ecosystem',
    'gatewayNode',
    'installation',
    'secretFiles',
    'sessionSecret',
    'socketFolder',
    'startedWith',
  ]) {
    cpSync(join(root, `backend/${name}.cjs`), join(project, `backend/${name}.cjs`));
  }
  writeFileSync(join(project, 'backend/dist/gateway.js'), '');
  writeFileSync(
    join(project, 'own.config.cjs'),
    `module.exports = { apps: [require('./backend/ecosystem.cjs').defineGateway({ file: __filename })] };`,
  );
});
afterEach(() => rmSync(project, { recursive: true, force: true }));

const run = (args: readonly string[], program: string) =>
  spawnSync(process.execPath, args, {
    cwd: project,
    env: { PATH: process.env['PATH'], HOME: project, ...(program === '' ? {} : { GATEWAY_NODE: program }) },
    encoding: 'utf8',
  });

/** What `npm run balancer` runs the gateway on. */
const balancer = (program: string) => run([join(project, 'backend/gatewayNode.cjs')], program);

/** What PM2 is told, as after `pm2 <command> own.config.cjs`. */
function interpreterFor(program: string, command = 'start', before = ''): string | undefined {
  const print = `process.stdout.write(JSON.stringify(require(${JSON.stringify(join(project, 'own.config.cjs'))}).apps))`;
  const { stdout, stderr } = run(['-e', before + print, '--', command], program);
  if (stdout === '') throw new Error(stderr);
  return (JSON.parse(stdout) as [{ interpreter?: string }])[0].interpreter;
}

/** A program of that content, executable. */
function programOf(name: string, content: string, mode = 0o755): string {
  const file = join(project, name);
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

const LIKE_NODE = `#!/bin/sh\nexec ${process.execPath} "$@"\n`;

describe('without GATEWAY_NODE', () => {
  it('PM2 is told nothing, and the balancer runs on the Node that starts it', () => {
    expect(interpreterFor('')).toBeUndefined();
    expect(balancer('').stdout).toBe(`${process.execPath}\n`);
  });
});

describe('with GATEWAY_NODE', () => {
  it('both are told its full path, with links as they are', () => {
    programOf('node-of-mine', LIKE_NODE);
    symlinkSync('node-of-mine', join(project, 'current'));
    expect(interpreterFor('current')).toBe(join(project, 'current'));
    expect(balancer('current').stdout).toBe(`${join(project, 'current')}\n`);
  });

  it('in .env counts as well', () => {
    writeFileSync(join(project, '.env'), `GATEWAY_NODE=${programOf('node', LIKE_NODE)}\n`);
    expect(interpreterFor('')).toBe(join(project, 'node'));
    expect(balancer('').stdout).toBe(`${join(project, 'node')}\n`);
  });

  it.each<[what: string, make: () => string, why: string]>([
    ['that is not there', () => join(project, 'nothing'), 'there is no such file'],
    ['that is a folder', () => project, 'it is not a file'],
    // For root every file with an x bit may be executed, and none without.
    [
      'that may not be executed',
      () => programOf('node', LIKE_NODE, 0o644),
      'it may not be executed by this user',
    ],
    [
      'that PM2 would take for a version',
      () => programOf('node@24', LIKE_NODE),
      'Make a link to it that has none',
    ],
    [
      'that is something else',
      () => programOf('node', '#!/bin/sh\necho yes\n'),
      'it does not run, or is no Node',
    ],
    [
      'that does not run here',
      () => programOf('node', '\x7fELF of another machine'),
      'it does not run, or is no Node',
    ],
    [
      'that is too old',
      () => programOf('node', '#!/bin/sh\necho v18.20.4\n'),
      'it is Node v18.20.4, and the gateway needs 20.19 or newer',
    ],
    [
      'that is a little too old',
      () => programOf('node', '#!/bin/sh\necho v20.18.3\n'),
      'it is Node v20.18.3, and the gateway needs 20.19 or newer',
    ],
    [
      'for which a native module is not built',
      () =>
        programOf(
          'node',
          '#!/bin/sh\n[ "$1" = --version ] && { echo v24.0.0; exit; }\necho "Error: The module was compiled against a different Node.js version" >&2\nexit 1\n',
        ),
      "the gateway can't be loaded by it: Error: The module was compiled against a different Node.js version",
    ],
  ])('%s is refused before anything is started', (_what, make, why) => {
    const program = make();
    const { status, stdout, stderr } = balancer(program);
    expect([status, stdout]).toEqual([78, '']);
    expect(stderr).toContain(`GATEWAY_NODE is "${program}": `);
    expect(stderr).toContain(why);
    expect(() => interpreterFor(program)).toThrow(why);
  });

  it('what is not to start it is not kept from its work: a stop, and the supervisor that reads its services', () => {
    const gone = join(project, 'nothing');
    expect(interpreterFor(gone, 'delete')).toBe(gone);
    const asSupervisor = `globalThis[Symbol.for('holdfast.readFor')] = 'start';`;
    expect(interpreterFor(gone, 'start', asSupervisor)).toBe(gone);
  });
});

it('the least version is that of package.json', () => {
  const { LEAST } = createRequire(import.meta.url)(join(root, 'backend/gatewayNode.cjs')) as {
    LEAST: number[];
  };
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  expect(engines.node).toBe(`>=${LEAST.join('.')}`);
});
