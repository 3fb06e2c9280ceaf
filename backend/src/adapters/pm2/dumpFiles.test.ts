import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { SECRETS } from '../../lib/secretFiles.js';
import { guardDumps, type Narrowed } from './dumpFiles.js';

const IS_ROOT = process.getuid?.() === 0;
const SECRET = 'of the "configuration"';

let pm2Home: string;
let dump: string;
let clock: FakeClock;
let told: Narrowed[];
let problems: string[];
let stop: () => void;
beforeEach(() => {
  pm2Home = mkdtempSync(join(tmpdir(), 'holdfast-dump-'));
  dump = join(pm2Home, 'dump.pm2');
  [clock, told, problems, stop] = [new FakeClock(), [], [], () => undefined];
});
afterEach(() => {
  stop();
  rmSync(pm2Home, { recursive: true, force: true });
});

function guard(): void {
  stop = guardDumps({
    pm2Home,
    names: () => [...SECRETS, 'MYSQL_PASSWORD'],
    secrets: [SECRET, 'short'],
    clock,
    onNarrowed: (narrowed) => told.push(narrowed),
    onProblem: (_file, problem) => problems.push(problem),
  });
}

/** As PM2 writes it. */
function save(env: Readonly<Record<string, string>>, file = dump): void {
  writeFileSync(file, JSON.stringify([{ name: 'web', env, ...env }], null, 2));
}
const modeOf = (file = dump): string => (statSync(file).mode & 0o777).toString(8);

describe('a list that PM2 has written', () => {
  it.each([
    ['a variable of ours', { HA_API_TOKEN: 'x' }, ['HA_API_TOKEN']],
    ['several', { LB_STICKY_KEYS: 'a', MYSQL_PASSWORD: 'b' }, ['LB_STICKY_KEYS', 'MYSQL_PASSWORD']],
    ['a value of ours under another name', { OTHER: SECRET }, ['another secret']],
  ])('with %s is for its owner alone, and that is told', (_what, env, holds) => {
    save(env);
    chmodSync(dump, 0o644);
    guard();
    expect(told).toEqual([{ file: dump, mode: '0644', holds }]);
    expect(modeOf()).toBe('600');
  });

  it.each([
    ['without secrets', { PORT: '1', OTHER: 'short' }],
    ['with the path of one', { HA_API_TOKEN_FILE: '/x', SESSION_SECRET: '' }],
  ])('%s is left as it is', (_what, env: Readonly<Record<string, string>>) => {
    save(env);
    chmodSync(dump, 0o644);
    guard();
    expect([told, modeOf()]).toEqual([[], '644']);
  });

  it('is looked at again when PM2 has written it anew, and the one before, too', async () => {
    guard();
    save({ HA_API_TOKEN: 'x' });
    save({ HA_API_TOKEN: 'x' }, `${dump}.bak`);
    [dump, `${dump}.bak`].forEach((file) => chmodSync(file, 0o644));
    await clock.advance(10_000);
    expect(told.map(({ file }) => file)).toEqual([dump, `${dump}.bak`]);
    expect([modeOf(), modeOf(`${dump}.bak`)]).toEqual(['600', '600']);
    rmSync(dump);
    save({ HA_API_TOKEN: 'x' });
    chmodSync(dump, 0o640);
    await clock.advance(10_000);
    expect(told.slice(2)).toEqual([{ file: dump, mode: '0640', holds: ['HA_API_TOKEN'] }]);
  });

  it('is not reached through a link', () => {
    const other = join(pm2Home, 'other');
    save({ HA_API_TOKEN: 'x' }, other);
    chmodSync(other, 0o644);
    symlinkSync(other, dump);
    guard();
    expect([told, modeOf(other)]).toEqual([[], '644']);
  });

  it.skipIf(!IS_ROOT)('of another user is left alone (needs root)', () => {
    save({ HA_API_TOKEN: 'x' });
    chmodSync(dump, 0o644);
    chownSync(dump, 65_534, 65_534);
    guard();
    expect([told, problems, modeOf()]).toEqual([[], [], '644']);
  });
});
