/** Real collections, forced: each must be told, also the second and the tenth. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import { watchGarbage } from './garbage.js';

test('every major collection is told, however many there were before', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  let told = 0;
  watchGarbage(() => void (told += 1));
  for (let round = 1; round <= 10; round += 1) {
    collect();
    await vi.waitFor(() => expect(told).toBeGreaterThanOrEqual(round), { timeout: 5_000, interval: 5 });
  }
});
