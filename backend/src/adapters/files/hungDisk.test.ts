/** An application lies on a disk that hangs: what looks at its files gives up in time, and the event loop turns meanwhile. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canHang, HungDisk } from '../../../../test/support/hungDisk.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { messageOf } from '../../domain/errors.js';
import { FileBuildStore } from '../builds/fileBuildStore.js';
import { EcosystemReader } from '../pm2/ecosystem.js';
import { ServiceIdentity, type Application } from '../pm2/identity.js';
import { inFolder } from './inFolder.js';
import { lastLines } from './lastLines.js';
import { RealPaths } from './realPaths.js';

const PATIENCE_MS = 300;

let root: string;
let disk: HungDisk | null = null;
/** Before it hangs, there is an application in here. */
let app: string;
const at = (name: string): string => join(app, name);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-disk-'));
  app = join(root, 'app');
  mkdirSync(app);
  writeFileSync(at('package.json'), '{}');
  writeFileSync(at('main.js'), '');
  writeFileSync(at('err.log'), 'a line\n');
  writeFileSync(at('ecosystem.config.js'), `module.exports = [{ name: 'web', script: 'main.js' }]`);
  symlinkSync(app, join(root, 'current'));
});
afterEach(async () => {
  await disk?.goOn();
  disk = null;
  // What hung has ended.
  for (const folder of [app, join(root, 'current'), root])
    await waitFor(() => inFolder(folder, 60_000, () => Promise.resolve(true)), {
      what: 'the disk to answer',
    });
  rmSync(root, { recursive: true, force: true });
});

interface Case {
  readonly what: string;
  /** What it does; given before the disk hangs, carried out while it does. */
  prepare(): (() => Promise<unknown>) | Promise<() => Promise<unknown>>;
  /** What comes of it: a value, or the message of its error. */
  readonly comes: unknown;
}

const owner = (): Application => ({ namespace: 'default', script: at('main.js'), cwd: app });
const NOT_ANSWERED: unknown = expect.stringMatching(/the disk of .*\/(app|current) does not answer/);

const CASES: readonly Case[] = [
  {
    what: 'reading the end of a log',
    prepare: () => () => lastLines(at('err.log'), 100),
    comes: NOT_ANSWERED,
  },
  {
    what: 'comparing the files of a build',
    prepare: async () => {
      const builds = new FileBuildStore(join(root, 'kept'), PATIENCE_MS);
      expect(await builds.keep('web', at('main.js'), Date.now() + 1_000)).toEqual({ ok: true });
      return () => builds.differences('web');
    },
    comes: NOT_ANSWERED,
  },
  {
    what: 'copying the files of a build',
    prepare: () => () =>
      new FileBuildStore(join(root, 'kept'), PATIENCE_MS).keep('web', at('main.js'), Date.now()),
    comes: NOT_ANSWERED,
  },
  {
    what: 'reading an ecosystem file',
    prepare: () => () => new EcosystemReader({ file: at('ecosystem.config.js'), pm2Home: root }).read(),
    comes: NOT_ANSWERED,
  },
  {
    what: 'looking whether an ecosystem file has changed',
    prepare: async () => {
      const reader = new EcosystemReader({ file: at('ecosystem.config.js'), pm2Home: root });
      await reader.read();
      return () => reader.hasChanged();
    },
    comes: NOT_ANSWERED,
  },
  {
    what: 'following a link: what was known before counts',
    prepare: async () => {
      const paths = new RealPaths(PATIENCE_MS);
      const link = join(root, 'current/main.js');
      await paths.look([link]);
      return async () => {
        await paths.look([link]);
        return paths.of(link) === at('main.js');
      };
    },
    comes: true,
  },
  {
    what: 'telling an instance from another application: what was known before counts',
    prepare: async () => {
      const identity = new ServiceIdentity(
        { ownerOf: owner, isKnown: () => false },
        new RealPaths(PATIENCE_MS),
      );
      const application = { ...owner(), script: join(root, 'current/main.js'), cwd: join(root, 'current') };
      await identity.ownsNow('web', application);
      return () => identity.ownsNow('web', application);
    },
    comes: true,
  },
];

describe.runIf(canHang)('on a disk that hangs (needs root)', () => {
  it.each(CASES)('$what', async ({ prepare, comes }) => {
    const act = await prepare();
    disk = HungDisk.over(app);
    let isOver = false;
    const outcome = act()
      .catch((error: unknown) => messageOf(error))
      .finally(() => (isOver = true));
    // A call that the loop itself waits for would come back only when the disk goes on by itself.
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(false);
    expect(await outcome).toEqual(comes);
  });
});
