import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ServiceIdentity, type Application } from './identity.js';
import { parseList } from './processRow.js';

type Given = readonly [pmId: number, script: string, namespace?: string, more?: object];
const rowsOf = (...given: readonly Given[]) =>
  parseList(
    given.map(([pm_id, script, namespace = 'default', more]) => ({
      pid: 100 + pm_id,
      pm2_env: {
        ...{ name: 'web', pm_id, status: 'online', pm_exec_path: script, pm_cwd: '/srv', namespace },
        ...more,
      },
    })),
  );
const OWNER: Application = { namespace: 'default', script: '/srv/app.js', cwd: '/srv' };

function identityOf(owner: Application | null, known: readonly number[] = []): ServiceIdentity {
  return new ServiceIdentity({
    ownerOf: () => owner,
    isKnown: (_service, pmId) => known.includes(pmId),
  });
}

async function ownOf(identity: ServiceIdentity, ...given: readonly Given[]): Promise<readonly number[]> {
  const rows = await identity.separate(rowsOf(...given));
  expect(rows).toHaveLength(given.length);
  return rows.filter(({ process }) => process.service === 'web').map(({ process }) => process.pmId);
}

const [APP, OTHER, OLD] = ['/srv/app.js', '/tmp/x.js', '/srv/old.js'];
const NPM = '/usr/bin/npm';
const NPM_OWNER: Application = { ...OWNER, script: NPM };

describe('ServiceIdentity', () => {
  it.each<
    [
      what: string,
      owner: Application | null,
      known: readonly number[],
      given: readonly Given[],
      own: readonly number[],
    ]
  >([
    ['an instance', OWNER, [], [[0, APP]], [0]],
    ['nothing of another namespace', OWNER, [0, 1], [[0, APP], [1, APP, 'admin']], [0]], // prettier-ignore
    ['nothing of another namespace where that is all there is', OWNER, [], [[1, APP, 'admin']], []],
    ['nothing that runs another script', OWNER, [], [[0, APP], [1, OTHER]], [0]], // prettier-ignore
    ['nothing that runs another script where that is all there is', OWNER, [], [[1, OTHER]], []],
    ['what was started before the file was edited', OWNER, [0, 1], [[0, OLD], [1, OLD], [2, APP]], [0, 1, 2]], // prettier-ignore
    ['what PM2 added to it', OWNER, [0], [[0, OLD], [1, OLD]], [0, 1]], // prettier-ignore
    ['nothing of the same file name', OWNER, [], [[0, '/srv/1/app.js', 'default', { pm_cwd: '/srv/1' }]], []],
    ['nothing of the same file name beside its own', OWNER, [], [[0, '/srv/1/app.js'], [1, APP]], [1]], // prettier-ignore
    ['npm in its folder', NPM_OWNER, [], [[0, NPM], [1, NPM, 'default', { pm_cwd: '/other' }]], [0]], // prettier-ignore
    ['npm of another Node.js in its folder', NPM_OWNER, [], [[0, '/opt/node/bin/npm']], [0]],
    ['npm in another folder not', NPM_OWNER, [], [[1, NPM, 'default', { pm_cwd: '/other' }]], []],
    ['one whose variables hide its namespace', OWNER, [], [[0, APP, 'x', { env: { namespace: 'x' } }]], [0]],
    ['the oldest where no file names it', null, [], [[3, APP], [1, OTHER], [2, APP, 'a'], [4, OTHER]], [1, 4]], // prettier-ignore
  ])('knows %s', async (_what, owner, known, given, own) => {
    expect(await ownOf(identityOf(owner, known), ...given)).toEqual(own);
  });

  it('goes on knowing the others once all of its own have gone', async () => {
    const identity = identityOf(OWNER);
    expect(await ownOf(identity, [0, APP], [1, '/other/app.js'])).toEqual([0]);
    expect(await ownOf(identity, [1, '/other/app.js'])).toEqual([]);
    expect(identity.owns('web', { namespace: 'default', script: '/other/app.js', cwd: '/other' })).toBe(
      false,
    );
    expect(identity.owns('web', OWNER)).toBe(true);
  });

  it('tells nothing apart by a name of which nothing is known, or without being asked to', async () => {
    expect(identityOf(null).owns('web', OWNER)).toBe(true);
    const byName = new ServiceIdentity(undefined);
    expect(await ownOf(byName, [0, APP], [1, OTHER, 'admin'])).toEqual([0, 1]);
  });
});

describe('a release behind a symbolic link', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'identity-'));
    for (const release of ['1', '2']) {
      mkdirSync(join(root, release));
      writeFileSync(join(root, release, 'app.js'), '');
    }
    symlinkSync('1', join(root, 'current'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it('is known by either path, also after the link has moved', async () => {
    const at = (folder: string): string => join(root, folder, 'app.js');
    const owner = { namespace: 'default', script: at('current'), cwd: join(root, 'current') };
    const identity = identityOf(owner);
    const inFolder = (folder: string): object => ({ pm_cwd: join(root, folder) });
    const first: Given = [0, at('1'), 'default', inFolder('1')];
    expect(await ownOf(identity, first, [1, at('2'), 'default', inFolder('2')])).toEqual([0]);
    rmSync(join(root, 'current'));
    symlinkSync('2', join(root, 'current'));
    expect(await ownOf(identity, first, [1, at('current'), 'default', inFolder('current')])).toEqual([0, 1]);
  });
});
