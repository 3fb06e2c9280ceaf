import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { build, isInstalled, markDeployed, readBuilds } from './release.js';

let root = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-release-'));
  mkdirSync(join(root, 'node_modules'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function locks(wanted: unknown, present: unknown): void {
  writeFileSync(join(root, 'package-lock.json'), JSON.stringify(wanted));
  writeFileSync(join(root, 'node_modules/.package-lock.json'), JSON.stringify(present));
}

const place = () => ({ root, dataDir: join(root, 'data') });

const packages = { '': { version: '0' }, 'node_modules/a': { version: '1.0.0' } };

describe('isInstalled', () => {
  it('is so when npm’s record holds every package in the wanted version', async () => {
    locks(
      { packages },
      { packages: { 'node_modules/a': { version: '1.0.0' }, 'node_modules/extra': { version: '9' } } },
    );
    await expect(isInstalled(root)).resolves.toBe(true);
  });

  it('forgives an optional package that is not for this machine', async () => {
    locks(
      { packages: { ...packages, 'node_modules/mac-only': { version: '1', optional: true } } },
      { packages: { 'node_modules/a': { version: '1.0.0' } } },
    );
    await expect(isInstalled(root)).resolves.toBe(true);
  });

  it.each([
    ['another version', { packages: { 'node_modules/a': { version: '1.0.1' } } }],
    ['a package missing', { packages: {} }],
    ['no packages at all', {}],
  ])('is not so with %s', async (_name, present) => {
    locks({ packages }, present);
    await expect(isInstalled(root)).resolves.toBe(false);
  });

  it('is not so without a record, or with a damaged one', async () => {
    locks({ packages }, { packages });
    writeFileSync(join(root, 'node_modules/.package-lock.json'), '{');
    await expect(isInstalled(root)).resolves.toBe(false);
    rmSync(join(root, 'node_modules'), { recursive: true });
    await expect(isInstalled(root)).resolves.toBe(false);
  });

  it('is so for this very checkout, by npm’s real files', async () => {
    const real = new URL('../../..', import.meta.url);
    locks(
      JSON.parse(readFileSync(new URL('package-lock.json', real), 'utf8')),
      JSON.parse(readFileSync(new URL('node_modules/.package-lock.json', real), 'utf8')),
    );
    await expect(isInstalled(root)).resolves.toBe(true);
  });
});

describe('build', () => {
  it('fails with what the builder said', async () => {
    mkdirSync(join(root, 'scripts'));
    writeFileSync(join(root, 'scripts/build.mjs'), `console.error('line 3 is wrong'); process.exit(1);`);
    await expect(build(root)).rejects.toMatchObject({ code: 'deploy.build-failed' });
    await expect(build(root)).rejects.toThrow(/line 3 is wrong/);
  });

  it('is known by its fingerprint, and so are the one before and the one that runs', async () => {
    await expect(readBuilds(place())).resolves.toEqual({ current: null, previous: null, deployed: null });
    for (const [directory, print] of [
      ['dist', 'new'],
      ['dist.previous', 'old'],
    ] as const) {
      mkdirSync(join(root, 'backend', directory), { recursive: true });
      writeFileSync(join(root, 'backend', directory, '.fingerprint'), print);
    }
    await markDeployed(place());
    await expect(readBuilds(place())).resolves.toEqual({ current: 'new', previous: 'old', deployed: 'new' });
  });
});
