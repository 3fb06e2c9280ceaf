/**
 * A synchronous look at a file holds up all that the process does, for as long as its disk takes. The loop of the supervisor looks
 * at applications all the time, and their disks may hang: it looks beside the loop, in bounded time (adapters/files/inFolder).
 * What is left looks at files that do not hang, or that nothing works without.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, it } from 'vitest';
import { repository } from '../support/deployment.js';

const SOURCES = join(repository, 'backend/src');
/** `fs` functions, not `spawnSync`. */
const CALL =
  /\b(?:access|append|chmod|chown|close|copy|exists|fchmod|fstat|link|lstat|mkdir|open|opendir|read|readdir|readlink|realpath|rename|rm|rmdir|stat|symlink|truncate|unlink|write)(?:File)?Sync\(/;
const ROOMS = ['services', 'adapters'];

const KERNEL = "the kernel's own files";
const OWN = 'files of Holdfast, which it does not work without';
const CODE = "PM2's files, or the code of Holdfast, which nothing works without";
const AT_START = `${OWN}; at the start, after their disks have answered`;

/** Where such calls are meant, and what they look at. */
const MEANT: Readonly<Record<string, string>> = {
  'adapters/agents/socketFile.ts': OWN,
  'adapters/files/ownFolders.ts': AT_START,
  'adapters/files/rotatingFile.ts': `${OWN}; at the end of the process`,
  'adapters/files/writable.ts': AT_START,
  'adapters/meters/cgroup.ts': KERNEL,
  'adapters/meters/hostMeter.ts': KERNEL,
  'adapters/meters/procStat.ts': KERNEL,
  'adapters/meters/processStates.ts': KERNEL,
  'adapters/net/portOwners.ts': KERNEL,
  'adapters/net/processOwner.ts': KERNEL,
  'adapters/packageVersion.ts': CODE,
  'adapters/pm2/daemon.ts': CODE,
  'adapters/pm2/dumpFiles.ts': CODE,
  'adapters/pm2/ecosystem.ts': CODE,
  'adapters/pm2/strays.ts': KERNEL,
  'adapters/supervisor/supervisorAgent.ts': OWN,
};

it('no file of an application is looked at synchronously', () => {
  const found = ROOMS.flatMap((room) =>
    readdirSync(join(SOURCES, room), { recursive: true, encoding: 'utf8' }).map((name) =>
      join(SOURCES, room, name),
    ),
  )
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.includes('/testing/'))
    .filter((path) => CALL.test(readFileSync(path, 'utf8')))
    .map((path) => relative(SOURCES, path));
  expect(found.sort()).toEqual(Object.keys(MEANT).sort());
});
