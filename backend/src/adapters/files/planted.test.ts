/** Another user's program has put a link in the place of a file of ours: nothing goes through it, in either direction. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FileBuildStore } from '../builds/fileBuildStore.js';
import { FileHistory } from '../history/fileHistory.js';
import { createLogger } from '../logging/logger.js';
import { FileStateStore } from '../state/fileStateStore.js';
import { acquirePidLock } from '../../lib/pidLock.js';

/** As each reader would take it for its own. */
const PRECIOUS = `${JSON.stringify({
  version: 1,
  state: 'precious',
  seq: 1,
  type: 'management.started',
  at: '2026-01-01T00:00:00.000Z',
  service: null,
  data: { by: 'precious' },
  folder: '/precious',
  files: [],
  links: [],
})}\n`;

const logger = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };

let root: string;
let precious: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-planted-'));
  mkdirSync(join(root, 'outside'));
  precious = join(root, 'outside/precious');
  writeFileSync(precious, PRECIOUS);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface Case {
  readonly what: string;
  readonly name: string;
  /** @returns what it got to see. */
  act(file: string): Promise<unknown>;
}

const CASES: readonly Case[] = [
  {
    what: 'a state that is saved',
    name: `state.json.tmp-${process.pid}-1`,
    act: (file) => new FileStateStore(join(dirname(file), 'state.json')).save('ours').catch(() => null),
  },
  {
    what: 'a state that is loaded',
    name: 'state.json',
    act: async (file) => (await new FileStateStore(file).load()).state,
  },
  {
    what: 'a history that is read back and written',
    name: 'events.jsonl',
    act: async (file) => {
      const history = await FileHistory.open({ file, logger });
      const seen = history.query({ limit: 10 });
      history.append({ seq: 9, type: 'management.stopped', at: '', service: null, data: { by: 'us' } });
      await history.close();
      return seen;
    },
  },
  {
    what: 'a log',
    name: 'ha-gateway.log',
    act: async (file) => {
      const log = createLogger({ file, console: false });
      log.info('ours');
      await log.close();
      return null;
    },
  },
  {
    what: 'the list of a kept build',
    name: 'builds/web/build.json',
    act: (file) => new FileBuildStore(dirname(dirname(file))).differences('web'),
  },
];

it.each(CASES)('$what', async ({ name, act }) => {
  const file = join(root, 'ours', name);
  mkdirSync(dirname(file), { recursive: true });
  symlinkSync(precious, file);
  expect(JSON.stringify(await act(file)) ?? '').not.toContain('precious');
  expect(readFileSync(precious, 'utf8')).toBe(PRECIOUS);
});

it('a lock', async () => {
  symlinkSync(join(root, 'outside'), join(root, 'supervisor.lock'));
  await expect(acquirePidLock(join(root, 'supervisor.lock'))).rejects.toThrow('is a symbolic link');
  expect(readdirSync(join(root, 'outside'))).toEqual(['precious']);
});
