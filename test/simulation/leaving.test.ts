/** Instances that are asked to stop and take their time, because requests are under way. */
import { afterEach, expect, it } from 'vitest';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
let world: World;

async function begin(killTimeoutMs = 10_000): Promise<void> {
  // Probed every second, so that probes see the closed port.
  const { health } = policyOf(SERVICE);
  world = new World(1, [policyOf(SERVICE, { health: { ...health, intervalMs: 1_000 } })]);
  world.pm2.killTimeoutMs = killTimeoutMs;
  world.pm2.seed(SERVICE, 2);
  await world.startSupervisor();
  for (const row of world.pm2.rows(SERVICE)) world.agents.connect(row.pid);
  await world.clock.advance(5_000);
  expect(serving()).toBe(2);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const serving = (): number => world.loop.services.get(SERVICE)!.serving().length;
const withdrawals = (): unknown[] => world.eventsOf('instance.withdrawn').map(({ data }) => data);

it('an instance that says that it stops gets no request more, before anything else is known of it', async () => {
  await begin();
  const [row] = world.pm2.alive(SERVICE);
  world.agents.tell('stopping', { pid: row!.pid, signal: 'SIGINT', draining: true });
  await world.clock.advance(50);
  expect(serving()).toBe(1);
  const { pmId, pid, port } = row!;
  expect(withdrawals()).toEqual([
    { service: SERVICE, instance: { pmId, pid, port }, why: 'it was asked to stop' },
  ]);
});

it('its closed port is no failure, and its end no crash', async () => {
  await begin();
  const [row] = world.pm2.alive(SERVICE);
  world.agents.tell('stopping', { pid: row!.pid, signal: 'SIGINT', draining: true });
  world.pm2.setAnswers(row!, 'error');
  await world.clock.advance(9_000);
  world.agents.leave(row!.pid);
  // What PM2 says of an end by SIGINT it also says of an exit with code 0.
  world.pm2.kill(row!, { exitCode: 0, signal: null });
  await world.clock.advance(5_000);
  expect(serving()).toBe(2);
  expect(world.eventsOf('instance.unfit')).toEqual([]);
  expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
});

it('nor is it when PM2 stops it and it takes long', async () => {
  await begin();
  const [row] = world.pm2.alive(SERVICE);
  world.pm2.operatorStopSlowly(row!, 9_000);
  await world.clock.advance(8_900);
  expect(serving()).toBe(1);
  expect(world.eventsOf('instance.unfit')).toEqual([]);
});

it('nor is it where PM2 was told to give it more time than is configured', async () => {
  await begin(60_000);
  const [row] = world.pm2.alive(SERVICE);
  world.agents.tell('stopping', { pid: row!.pid, signal: 'SIGINT', draining: true });
  world.pm2.setAnswers(row!, 'error');
  await world.clock.advance(55_000);
  expect(world.eventsOf('instance.unfit')).toEqual([]);
  expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toContain(row!.pmId);
});

it('one that is still there long after it would have been killed serves again', async () => {
  await begin();
  const [row] = world.pm2.alive(SERVICE);
  world.agents.tell('stopping', { pid: row!.pid, signal: 'SIGINT', draining: true });
  await world.clock.advance(14_000);
  expect(serving()).toBe(1);
  await world.clock.advance(10_000);
  expect(serving()).toBe(2);
});

it('one whose application stops by itself serves for as long as PM2 and its probes say so', async () => {
  await begin();
  const [row] = world.pm2.alive(SERVICE);
  world.agents.tell('stopping', { pid: row!.pid, signal: 'SIGTERM', draining: false });
  await world.clock.advance(1_000);
  expect(serving()).toBe(2);
});

it('one that PM2 has reloaded tells when it stops, while its port is its successor’s', async () => {
  await begin();
  const [row, other] = world.pm2.alive(SERVICE);
  const superseded = (): unknown[] => world.eventsOf('instance.superseded').map(({ data }) => data);
  const before = { pmId: row!.pmId, pid: row!.pid, port: row!.port };
  world.agents.tell('stopping', { pid: other!.pid, signal: 'SIGINT', draining: false });
  expect(superseded()).toEqual([]);
  world.pm2.operatorReload(SERVICE);
  await world.clock.advance(2_000);
  expect(superseded()).toEqual([]);
  world.agents.tell('stopping', { pid: before.pid, signal: 'SIGINT', draining: true });
  expect(superseded()).toEqual([{ service: SERVICE, instance: before }]);
  await world.clock.advance(2_000);
  expect(serving()).toBe(2);
});

it('one that PM2 has reloaded to another port has left its own', async () => {
  await begin();
  const [row] = world.pm2.alive(SERVICE);
  const { pid, port } = row!;
  world.pm2.operatorReload(SERVICE);
  row!.port = port! + 1_000;
  await world.clock.advance(2_000);
  world.agents.tell('stopping', { pid, signal: 'SIGINT', draining: true });
  expect(world.eventsOf('instance.superseded')).toEqual([]);
});

it('an end says where nobody answers any more, and nothing of a port that a successor has', async () => {
  await begin();
  const portsLeft = (): unknown[] =>
    world
      .eventsOf('instance.exited')
      .map(({ data }) => (data as { instance: { port: number } }).instance.port);
  const [first, second] = world.pm2.alive(SERVICE);
  world.pm2.kill(first!, { exitCode: 1, signal: null });
  await world.clock.advance(5_000);
  expect(portsLeft()).toEqual([first!.port]);
  world.pm2.operatorReload(SERVICE);
  await world.clock.advance(5_000);
  expect(portsLeft()).toEqual([first!.port, null, null]);
  expect(serving()).toBe(2);
  expect(second!.port).not.toBe(first!.port);
});
