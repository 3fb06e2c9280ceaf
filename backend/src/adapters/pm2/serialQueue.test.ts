import { describe, expect, it } from 'vitest';
import { SerialQueue } from './serialQueue.js';

/** A piece of work whose end is in the test's hands. */
function held(): { work: () => Promise<void>; started: () => boolean; end: () => void; fail: () => void } {
  let begun = false;
  let end = (): void => undefined;
  let fail = (): void => undefined;
  const done = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = () => reject(new Error('failed'));
  });
  const work = (): Promise<void> => {
    begun = true;
    return done;
  };
  return { work, started: () => begun, end, fail };
}

async function turns(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('SerialQueue', () => {
  it('runs one piece of work per key at a time, in order, also after a failure', async () => {
    const queue = new SerialQueue();
    const [a, b, c, other] = [held(), held(), held(), held()];
    const results = [queue.run('web', a.work), queue.run('web', b.work), queue.run('web', c.work)];
    const settled = Promise.allSettled(results);
    const beside = queue.run('api', other.work);
    await turns();
    expect([a, b, c, other].map((each) => each.started())).toEqual([true, false, false, true]);
    a.fail();
    await turns();
    expect([b, c].map((each) => each.started())).toEqual([true, false]);
    b.end();
    await turns();
    expect(c.started()).toBe(true);
    c.end();
    other.end();
    expect((await settled).map((each) => each.status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    await beside;
  });

  it('refuses more than it may hold, and takes on again when there is room', async () => {
    const queue = new SerialQueue(2);
    const [a, b] = [held(), held()];
    const running = [queue.run('web', a.work), queue.run('web', b.work)];
    await expect(queue.run('web', () => Promise.resolve())).rejects.toMatchObject({ code: 'pm2.overloaded' });
    a.end();
    b.end();
    await Promise.all(running);
    expect(await queue.run('web', () => Promise.resolve('fine'))).toBe('fine');
  });
});
