import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
import { awaitFolders } from './awaitFolders.js';

it('says again and again that a disk does not answer, and goes on when it does', async () => {
  const told: string[] = [];
  let answers = (): void => undefined;
  const asked: string[] = [];
  const look = (path: string): Promise<void> => {
    asked.push(path);
    return path === '/hangs' ? new Promise((resolve) => (answers = resolve)) : Promise.resolve();
  };
  const folders = [
    { what: 'data folder', path: '/hangs' },
    { what: 'log folder', path: '/answers' },
  ];
  const over = awaitFolders(folders, { tell: (sentence) => told.push(sentence), everyMs: 5, look });
  await waitFor(() => told.length > 1, { what: 'the second sentence' });
  expect(told[0]).toContain('The disk of the data folder /hangs has not answered');
  expect(asked).toEqual(['/hangs']);
  answers();
  await over;
  expect(asked).toEqual(['/hangs', '/answers']);
});

it('does not wait for a folder that does not exist, or for a path that is not a folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-await-'));
  const tell = (): never => {
    throw new Error('nothing is to be told');
  };
  const folders = [join(folder, 'missing'), import.meta.filename].map((path) => ({
    what: 'log folder',
    path,
  }));
  await awaitFolders(folders, { tell });
  rmSync(folder, { recursive: true });
});
