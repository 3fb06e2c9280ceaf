/** An operator at PM2's own command line, beside a running Holdfast: nobody's budget pays for it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StatusView } from '../../backend/src/domain/views.js';
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
    expect(events.filter(({ type }) => type === 'instance.started')).toEqual([]);
    expect(await attemptsUsed()).toBe(0);
  },
  60_000,
);

it('pm2 stop holds, and pm2 start ends it', async () => {
  await deployment.pm2.pm2('stop', BACKEND);
  await deployment.until('the stop to be known', stateIs('stopped'));
  expect((await deployment.health()).status).toBe(200);
  await deployment.pm2.pm2('start', BACKEND);
  await deployment.untilWhole();
  expect(await attemptsUsed()).toBe(0);
}, 60_000);

it('pm2 stop of one instance, pm2 delete of one and pm2 scale are corrected to what is wanted', async () => {
  const [first, second] = await deployment.instances();
  await deployment.pm2.pm2('stop', String(first!.pmId));
  await deployment.until('it to be replaced', replaced(first!.pmId));
  await deployment.untilWhole(BACKEND, 2);
  await deployment.pm2.pm2('delete', String(second!.pmId));
  await deployment.until('it to be replaced', replaced(second!.pmId));
  await deployment.untilWhole(BACKEND, 2);
  await deployment.pm2.pm2('scale', BACKEND, '4');
  await deployment.untilWhole(BACKEND, 2);
  const ports = (await deployment.instances()).map(({ port }) => port);
  expect(new Set(ports).size).toBe(2);
  expect(await attemptsUsed()).toBe(0);
}, 90_000);

it('pm2 update brings everything back, as many as before, each with its own port', async () => {
  await deployment.post('scale-up', { serviceName: BACKEND, targetInstances: 3 });
  await deployment.untilWhole(BACKEND, 3);
  const before = await deployment.supervisorPid();
  await deployment.pm2.pm2('update');
  await deployment.until('another supervisor', ({ node }) => node.pid !== before);
  await deployment.untilWhole(BACKEND, 3, 60_000);
  const ports = (await deployment.instances()).map(({ port }) => port);
  expect(new Set(ports).size).toBe(3);
  const exits = (await deployment.events('instance.exited')).filter(({ data }) => data['charged'] === true);
  expect(exits).toEqual([]);
}, 120_000);

const stateIs =
  (state: string) =>
  ({ services }: StatusView): boolean =>
    services.find(({ name }) => name === BACKEND)?.state === state;

const replaced =
  (pmId: number) =>
  ({ services }: StatusView): boolean =>
    services.find(({ name }) => name === BACKEND)?.instances.every((one) => one.pmId !== pmId) === true;
