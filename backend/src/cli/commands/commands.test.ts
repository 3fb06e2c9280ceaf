/** The commands that ask the supervisor, on a real API; and what every command owes the person at the shell. */
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startHarness, type Harness } from '../../api/testing/harness.js';
import { UsageError } from '../command.js';
import { createContext } from '../context.js';
import { Terminal } from '../terminal.js';
import { COMMANDS } from './index.js';
import { readSince } from './events.js';
import { readCount } from './scale.js';

const SPACED = 'My API, v2';

let harness: Harness;
let root: string;
let out: string;
let err: string;

beforeEach(async () => {
  harness = await startHarness();
  harness.controlPlane.services.push({
    name: SPACED,
    min: 1,
    max: 4,
    pmIds: [7, 8],
    serving: 2,
    attempts: 2,
    quarantined: true,
    busy: false,
    brokenBuild: true,
  });
  root = mkdtempSync(join(tmpdir(), 'holdfast-commands-'));
  writeFileSync(join(root, '.env'), `HA_PORT=${harness.port}\nPM2_HOME=${join(root, 'pm2')}\n`);
  [out, err] = ['', ''];
});
afterEach(async () => {
  await harness.close();
  rmSync(root, { recursive: true, force: true });
});

/** @returns the exit code, or the code of the error that the entry would show. */
async function run(line: string, ...args: string[]): Promise<number | string> {
  const [name = '', ...words] = line.split(' ');
  const terminal = new Terminal({ write: (text) => (out += text) }, { write: (text) => (err += text) }, {});
  const env = { HA_ROOT: root, PATH: process.env['PATH'] };
  try {
    const command = COMMANDS[name];
    if (command === undefined) return 'no such command';
    return await command.run([...words, ...args], createContext(env, terminal, true));
  } catch (error) {
    if (error instanceof UsageError) return 'usage';
    err += error instanceof Error ? error.message : '';
    return (error as { code?: string }).code ?? 'thrown';
  }
}

describe('every command', () => {
  it.each(Object.entries(COMMANDS))('%s says what it does, and how it is typed', (name, command) => {
    expect(command.summary).toMatch(/^[a-z]/);
    expect(command.usage).toMatch(/^Usage: (npx holdfast|npm|scripts\/[a-z-]+\.sh)/);
    // From the project's folder, as it stands there.
    expect(command.usage).toMatch(
      new RegExp(`npx holdfast ${name}\\b|npm (start|stop|run ${name})|health-check\\.sh`),
    );
    expect(command.usage).toContain('--help');
  });

  it.each(Object.keys(COMMANDS))('%s refuses an option that it does not know', async (name) => {
    expect(await run(name, '--no-such-option')).toBe('usage');
  });
});

describe('scale', () => {
  it.each([
    ['3', 3],
    ['+2', 4],
    ['-1', 1],
    ['1', 1],
  ])('words from 2 by %s', async (count, instances) => {
    expect(await run('scale words', count)).toBe(0);
    expect(harness.controlPlane.services[0]?.pmIds).toHaveLength(instances);
    expect(out).toMatch(/✓ .+\n  (started|stopped)  #\d \(port/);
  });

  it('a number that is reached already changes nothing', async () => {
    expect(await run('scale words 2')).toBe(0);
    expect(out).toContain('words has 2 instances already');
    expect(await run('scale words +0 --json')).toBe(0);
    expect(JSON.parse(out.slice(out.indexOf('{')))).toMatchObject({ changed: false, toInstances: 2 });
    expect(harness.controlPlane.calls).not.toContain('scale');
  });

  it('says what the supervisor says when it refuses', async () => {
    expect(await run('scale words 9')).toBe('scale.above-max');
    expect(err).toContain('9 is refused');
  });

  it('gives machines the answer and nothing else', async () => {
    expect(await run('scale words 3 --json')).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ serviceName: 'words', done: true, toInstances: 3 });
  });

  it('fails when the time runs out, and says what is under way', async () => {
    harness.controlPlane.gate = new Promise(() => undefined);
    expect(await run('scale words 3 --timeout 1')).toBe(1);
    expect(err).toContain('still under way after 1.0 s');
  });

  it.each(['many', '1.5', '+', '', '--', '12345'])('COUNT "%s" is wrong usage', (text) => {
    expect(() => readCount(text)).toThrow(UsageError);
  });

  it.each(['scale', 'scale words', 'scale words 3 4'])('"%s" is wrong usage', async (line) => {
    expect(await run(line)).toBe('usage');
  });
});

describe('a name', () => {
  it.each(['failover', 'reset', 'explain', 'deploy', 'scale'])('%s takes one with spaces', async (name) => {
    const args = name === 'scale' ? [SPACED, '1'] : [SPACED];
    const code = await run(name, ...args);
    const refusals: Readonly<Record<string, string>> = {
      failover: 'service.quarantined',
      deploy: 'deploy.canary-failed',
    };
    expect(code).toBe(refusals[name] ?? 0);
    expect(out + err).toContain(SPACED);
  });

  it.each(['failover', 'reset', 'explain', 'deploy', 'scale', 'logs'])(
    '%s names the nearest one and lists all when it is unknown',
    async (name) => {
      writeFileSync(
        join(root, 'ecosystem.cluster.config.js'),
        `module.exports = { apps: [{ name: 'words' }, { name: 'web' }] };`,
      );
      expect(await run(name, ...(name === 'scale' ? ['wrods', '3'] : ['wrods']))).toBe('service.unknown');
      expect(err).toMatch(/There is no service "wrods"\. Did you mean words\? There are: words, web/);
    },
  );
});

describe('reset', () => {
  it('says what it cleared', async () => {
    expect(await run('reset', SPACED)).toBe(0);
    expect(out).toContain('2 failures are forgotten; it is no longer quarantined');
    expect(await run('reset', SPACED)).toBe(0);
    expect(out).toContain('nothing to forget');
  });
});

describe('release and adopt', () => {
  it('say what follows', async () => {
    expect(await run('release', SPACED)).toBe(0);
    expect(out).toContain(`${SPACED} is released`);
    expect(await run('adopt', SPACED)).toBe(0);
    expect(out).toContain(`Holdfast takes care of ${SPACED}`);
    expect(harness.controlPlane.calls).toEqual(expect.arrayContaining(['release', 'adopt']));
  });
});

describe('explain', () => {
  it('shows decision, instances, budget, quarantine and black box of one service', async () => {
    expect(await run('explain words')).toBe(0);
    for (const text of [
      'words: healthy, 2 of 2 serving',
      'autoscaling is on: up above 80 % load, down below 30 %',
      'load 50 % is between 30 % and 80 %',
      'from: load 50 %, backlog –',
      'probe passed',
      'last failure at',
      'Last black box',
    ])
      expect(out).toContain(text);
    out = '';
    await run('explain', SPACED);
    expect(out).toMatch(/quarantined since .*: spent/);
  });

  it('without a name: of each', async () => {
    expect(await run('explain')).toBe(0);
    for (const name of ['words', 'web', SPACED]) expect(out).toContain(`${name}: `);
    out = '';
    expect(await run('explain --json')).toBe(0);
    expect(JSON.parse(out)).toHaveLength(3);
  });
});

describe('events', () => {
  it('shows those of a service, and each as one line of JSON', async () => {
    harness.controlPlane.emit('service.reset', 'web', { service: 'web', by: 'test' });
    harness.controlPlane.emit('service.reset', SPACED, { service: SPACED, by: 'test' });
    expect(await run('events --json --service', SPACED)).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { service: string }).service)).toEqual([SPACED]);
    expect(await run('events --service wrods')).toBe('service.unknown');
    expect(await run('events --since yesterday')).toBe('usage');
  });

  it.each([
    ['10m', 400_000],
    ['90s', 910_000],
    ['1970-01-01T00:00:05Z', 5_000],
  ])('--since %s', (text, atMs) => expect(readSince(text, 1_000_000)).toBe(atMs));
});

describe('stop-ha', () => {
  it('turns management off', async () => {
    expect(await run('stop-ha')).toBe(0);
    expect(harness.controlPlane.running).toBe(false);
    expect(out).toMatch(/Turn it on again: .*holdfast\.sh start-ha/);
  });
});

describe('logs', () => {
  const file = (): string => join(root, 'logs/api.log');
  beforeEach(() => {
    mkdirSync(join(root, 'logs'));
    writeFileSync(
      join(root, 'ecosystem.cluster.config.js'),
      `module.exports = { apps: [{ name: ${JSON.stringify(SPACED)}, out_file: ${JSON.stringify(file())} }] };`,
    );
  });

  it('shows the end, of the rotated files too', async () => {
    writeFileSync(`${file()}.2`, 'one\n');
    writeFileSync(`${file()}.1`, 'two\nthree\n');
    writeFileSync(file(), 'four\nfive');
    expect(await run('logs --lines 4', SPACED)).toBe(0);
    expect(out).toBe(`── out: ${file()}\ntwo\nthree\nfour\nfive\n`);
    out = '';
    renameSync(file(), `${file()}.0`);
    expect(await run('logs -n 1 --json', SPACED)).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ service: SPACED, stream: 'out', line: 'three' });
  });

  it('says that nothing is written yet', async () => {
    expect(await run('logs', SPACED)).toBe(0);
    expect(err).toContain(`Nothing is written yet in ${file()}`);
  });

  it('finds the files that PM2 names where the ecosystem file names none', async () => {
    writeFileSync(
      join(root, 'ecosystem.cluster.config.js'),
      `module.exports = { apps: [{ name: 'My API' }] };`,
    );
    mkdirSync(join(root, 'pm2/logs'), { recursive: true });
    appendFileSync(join(root, 'pm2/logs/My-API-out-3.log'), 'hello\n');
    appendFileSync(join(root, 'pm2/logs/My-API-error.log'), 'oh\n');
    expect(await run('logs', 'My API')).toBe(0);
    expect(out).toMatch(/── out #3: .*\nhello\n/);
    expect(out).toMatch(/── err: .*\noh\n/);
  });
});

describe('a mistake in config.yml', () => {
  it.each(['status', 'explain words', 'events', 'scale words 2', 'reset words', 'stop-ha', 'down'])(
    'does not keep `%s` from its work',
    async (line) => {
      writeFileSync(join(root, 'config.yml'), 'maxInstances: lots\nlbAlgoritm: random\n\tx: [\n');
      // A supervisor that answers and that PM2 does not list is another one's: `down` refuses to pass it over.
      if (line === 'down') appendFileSync(join(root, '.env'), 'HA_PORT=1\n');
      writeFileSync(
        join(root, 'ecosystem.cluster.config.js'),
        `module.exports = { apps: [{ name: 'words' }] };`,
      );
      expect(await run(line)).toBe(0);
      expect(err).toContain('config.yml');
      expect(err).toContain('goes on without these values');
    },
  );
});
