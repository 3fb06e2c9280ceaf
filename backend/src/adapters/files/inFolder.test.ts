import { expect, it } from 'vitest';
import { inFolder } from './inFolder.js';

it('gives up what a disk does not answer, begins nothing else there meanwhile, and goes on after it', async () => {
  let begun = 0;
  let goesOn = (): void => undefined;
  const read = (): Promise<number> => Promise.resolve(++begun);
  const hang = (): Promise<void> => {
    begun += 1;
    return new Promise((resolve) => (goesOn = resolve));
  };
  await expect(inFolder('/logs', 20, hang)).rejects.toThrow('the disk of /logs does not answer');
  for (let time = 0; time < 10; time += 1)
    await expect(inFolder('/logs', 20, read)).rejects.toThrow('the disk of /logs does not answer');
  expect(begun).toBe(1);
  expect(await inFolder('/elsewhere', 5_000, read)).toBe(2);
  goesOn();
  await Promise.resolve();
  expect(await inFolder('/logs', 5_000, read)).toBe(3);
});
