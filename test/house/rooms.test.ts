/**
 * Rooms and the arrows between them are judged by rooms.mjs, in `npm run check`. Here it is shown violations, each in a
 * copy of the real folders, to see that it notices them.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const FOLDERS = ['services', 'domain', 'gateway'].map((name) => `backend/src/${name}`);

/** File below backend/src, the line that is added to it, and what is said of it. */
const violations: readonly (readonly [what: string, file: string, line: string, said: string])[] = [
  [
    'an arrow that points upwards',
    'services/observe/observer.ts',
    `import '../decide/memoryWatch.js';`,
    'services: the arrow observe → decide points upwards: observe/observer.ts → decide/memoryWatch.ts',
  ],
  [
    'an arrow that points upwards, of a type alone',
    'services/observe/observer.ts',
    `import type { MemoryWatch } from '../decide/memoryWatch.js'; export type M = MemoryWatch;`,
    'services: the arrow observe → decide points upwards: observe/observer.ts → decide/memoryWatch.ts',
  ],
  [
    'an arrow that points upwards, of a type that is named in place',
    'services/observe/observer.ts',
    `export type M = import('../decide/memoryWatch.js').MemoryWatch;`,
    'services: the arrow observe → decide points upwards: observe/observer.ts → decide/memoryWatch.ts',
  ],
  [
    'a circle of rooms',
    'services/observe/observer.ts',
    `export { MemoryWatch } from '../decide/memoryWatch.js';`,
    'services: rooms import each other in a circle: ',
  ],
  [
    'an arrow that points down and is not in the plan',
    'services/act/handOver.ts',
    `import '../loadBalancer.js';`,
    'services: the arrow act → loadBalancer is not in the plan: act/handOver.ts → loadBalancer.ts',
  ],
  [
    'a room that is not in the plan',
    'services/attic/chest.ts',
    `export const nothing = 0;`,
    'services/attic is not in test/house/roomsPlan.mjs',
  ],
];

describe('rooms', () => {
  let house = '';
  beforeEach(() => {
    house = mkdtempSync(join(tmpdir(), 'holdfast-rooms-'));
    for (const folder of FOLDERS) cpSync(join(root, folder), join(house, folder), { recursive: true });
  });
  afterEach(() => rmSync(house, { recursive: true, force: true }));

  function judge(): { readonly status: number | null; readonly said: string } {
    const script = join(root, 'test/house/rooms.mjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, house], { encoding: 'utf8' });
    return { status, said: stdout + stderr };
  }

  it.each(violations)('%s is noticed', (_what, file, line, said) => {
    const path = join(house, 'backend/src', file);
    mkdirSync(dirname(path), { recursive: true });
    appendFileSync(path, `\n${line}\n`);
    const judged = judge();
    expect(judged.said).toContain(said);
    expect(judged.status).toBe(1);
  });

  it('an import that the plan lists and no file makes is noticed', () => {
    writeFileSync(join(house, 'backend/src/services/failoverManager.ts'), 'export {};\n');
    expect(judge().said).toContain('services/failoverManager lists budgets and imports nothing of it');
  });

  it('a room that the plan lists and that does not exist is noticed', () => {
    rmSync(join(house, 'backend/src/services/loadBalancer.ts'));
    expect(judge().said).toContain('services/loadBalancer is in test/house/roomsPlan.mjs and does not exist');
  });

  it('what tests import, and what a comment mentions, is no arrow', () => {
    const folder = join(house, 'backend/src/services/observe');
    appendFileSync(join(folder, 'observer.test.ts'), `\nimport '../decide/memoryWatch.js';\n`);
    appendFileSync(join(folder, 'observer.ts'), `\n// import '../decide/memoryWatch.js';\n`);
    expect(judge().status).toBe(0);
  });

  it('are as planned, and counted', () => {
    const { status, said } = judge();
    expect(status).toBe(0);
    expect(said).toMatch(/^folder +nodes +count +arrows +levels +circles +largest circle$/m);
    for (const folder of ['services', 'domain', 'gateway'])
      for (const nodes of ['files', 'rooms'])
        expect(said).toMatch(new RegExp(`^${folder} +${nodes} +\\d+ +\\d+ +\\d+ +\\d+ +\\d+$`, 'm'));
  });
});
