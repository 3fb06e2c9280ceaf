import { afterEach, beforeEach, expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
import { inFolder } from './inFolder.js';

let begun: string[];
let goesOn: Map<string, () => void>;
const read = (folder: string) => (): Promise<string> => {
  begun.push(folder);
  return Promise.resolve(folder);
};
const hang = (folder: string) => (): Promise<string> => {
  begun.push(folder);
  return new Promise((resolve) => goesOn.set(folder, () => resolve(folder)));
};
const PATIENCE_MS = 60_000;

beforeEach(() => {
  begun = [];
  goesOn = new Map();
});
afterEach(async () => {
  for (const [folder, goOn] of goesOn) {
    goOn();
    await waitFor(() => inFolder(folder, PATIENCE_MS, read(folder)), { what: `${folder} to answer` });
  }
});

it('gives up what a disk does not answer, begins nothing else there meanwhile, and goes on after it', async () => {
  await expect(inFolder('/logs', 20, hang('/logs'))).rejects.toThrow('the disk of /logs does not answer');
  for (let time = 0; time < 10; time += 1)
    await expect(inFolder('/logs', PATIENCE_MS, read('/logs'))).rejects.toThrow(
      'the disk of /logs does not answer',
    );
  expect(begun).toEqual(['/logs']);
  expect(await inFolder('/elsewhere', PATIENCE_MS, read('/elsewhere'))).toBe('/elsewhere');
  goesOn.get('/logs')?.();
  await waitFor(() => inFolder('/logs', PATIENCE_MS, read('/logs')), { what: 'the disk to answer' });
});

it('takes two threads and no more, whatever hangs and however many ask', async () => {
  const folders = ['/a', '/b', '/c', '/d'];
  const asked = folders.map((folder) => inFolder(folder, 20, hang(folder)));
  const outcomes = await Promise.allSettled(asked);
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
  expect(begun).toEqual(['/a', '/b']);
  await expect(inFolder('/e', PATIENCE_MS, read('/e'))).rejects.toThrow(
    'the disk of /a and /b does not answer',
  );
  goesOn.get('/a')?.();
  expect(await waitFor(() => inFolder('/e', PATIENCE_MS, read('/e')), { what: 'a turn' })).toBe('/e');
  // What was given up before its turn came is not begun by now.
  expect(begun).not.toContain('/c');
});
