/** An operator at PM2's own command line, beside a running Holdfast: nobody's budget pays for it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BACKEND, Deployment } from '../support/deployment.js';

let deployment: Deployment;
beforeAll(async () => {
  deployment = await Deployment.start({ AUTOSCALE: 'false' });
}, 90_000);
afterAll(() => deployment.dispose());

async function attemptsUsed(): Promise<number> {
  const { instances } = await deployment.service();
  return instances.reduce((sum, one) => sum + one.attemptsUsed, 0);
}

it.each(['restart', 'reload'])(
  'pm2 %s is no failure',
  async (command) => {
    const before = (await deployment.instances()).map(({ pid }) => pid);
    await deployment.pm2.pm2(command, BACKEND);
    await deployment.until('all to be new', ({ services }) => {
      const now = services.find(({ name }) => name === BACKEND)?.instances ?? [];
      return now.length === 2 && now.every(({ pid, serving }) => serving && !before.includes(pid));
    });
    // Two looks later everything has been judged.
    const { length } = await deployment.events();
    const sinceMs = Date.now();
    await deployment.until('two more looks', () => Date.now() - sinceMs > 3_000);
    const events = await deployment.events();
    expect(events.length).toBeGreaterThanOrEqual(length);
    expect(events.filter(({ type, data }) => type === 'instance.exited' && data['charged'] === true)).toEqual(
      [],
    );
    expect(events.filter(({ type }) => type === 'stray.ended')).toEqual([]);
    expect(await attemptsUsed()).toBe(0);
  },
  60_000,
);
