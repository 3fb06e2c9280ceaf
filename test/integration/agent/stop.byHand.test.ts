/**
 * Instances of an application without signal handlers, stopped by hand in every way that PM2 and the shell offer, behind
 * Holdfast's back and under load: the agent tells, the gateway turns away, requests finish, none is lost. And stopped by
 * Holdfast. `CHURN=full` makes ten rounds of it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Deployment, repository } from '../../support/deployment.js';
import { gracelessApp } from '../../support/graceless.js';
import { sendSignal } from '../../support/processes.js';

const SERVICE = 'graceless';
const INSTANCES = 3;
const ROUNDS = process.env['CHURN'] === 'full' ? 10 : 1;
const CLIENTS = 8;

let folder: string;
let deployment: Deployment;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-by-hand-'));
  const file = join(folder, 'ecosystem.config.cjs');
  writeFileSync(
    file,
    `const { defineSupervisor, defineGateway, withAgent } = require(${JSON.stringify(join(repository, 'backend/ecosystem.cjs'))});
    const app = {
      name: ${JSON.stringify(SERVICE)}, script: ${JSON.stringify(gracelessApp)}, cwd: __dirname,
      exec_mode: 'cluster', instances: ${INSTANCES}, increment_var: 'PORT', port: Number(process.env.START_PORT),
      pmx: false, vizion: false, filter_env: [''], env: { QUIET: '1' },
    };
    module.exports = { apps: [
      defineSupervisor({ file: __filename, autoscale: false }), withAgent(app), defineGateway({ file: __filename }),
    ] };`,
  );
  deployment = await Deployment.start(
    { AUTOSCALE: 'false', STABLE_PERIOD: '300', LB_ALGORITHM: 'round-robin' },
    relative(repository, file),
  );
});
afterAll(async () => {
  await deployment.dispose();
  rmSync(folder, { recursive: true, force: true });
});

interface Tally {
  answered: number;
  readonly failed: string[];
}

function send(agent: Agent, method: string): Promise<string | null> {
  return new Promise((resolve) => {
    const path = `/slow?ms=${50 + Math.floor(Math.random() * 350)}`;
    const call = request({ host: '127.0.0.1', port: deployment.gatewayPort, method, path, agent });
    call.once('response', (response) => {
      response.resume();
      response.once('error', (error) => resolve(`cut: ${error.message}`));
      response.once('end', () => resolve(response.statusCode === 200 ? null : `HTTP ${response.statusCode}`));
    });
    call.once('error', (error) => resolve(error.message));
    call.end(method === 'POST' ? 'body' : undefined);
  });
}

/** Runs `disturb` while clients ask without a pause, every other one with POST, which nobody may send twice. */
async function underLoad(disturb: () => Promise<void>): Promise<Tally> {
  const tally: Tally = { answered: 0, failed: [] };
  let isOver = false;
  const clients = Array.from({ length: CLIENTS }, async (_, number) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const method = number % 2 === 0 ? 'GET' : 'POST';
    while (!isOver) {
      const problem = await send(agent, method);
      if (problem === null) tally.answered += 1;
      else tally.failed.push(`${method} ${problem}`);
    }
    agent.destroy();
  });
  try {
    await disturb();
  } finally {
    isOver = true;
    await Promise.all(clients);
  }
  return tally;
}

const whole = (): Promise<void> => deployment.untilWhole(SERVICE, INSTANCES);

it.each([
  ['pm2 restart', async (pmId: number) => void (await deployment.pm2.pm2('restart', String(pmId)))],
  ['pm2 reload', async (pmId: number) => void (await deployment.pm2.pm2('reload', String(pmId)))],
  ['kill -INT', (_: number, pid: number) => Promise.resolve(void sendSignal(pid, 'SIGINT'))],
  ['kill', (_: number, pid: number) => Promise.resolve(void sendSignal(pid, 'SIGTERM'))],
] as const)('%s of one instance after the other loses no request', async (name, stop) => {
  await whole();
  const charged = (await deployment.service(SERVICE)).instances.map(({ attemptsUsed }) => attemptsUsed);
  const tally = await underLoad(async () => {
    const instances = await deployment.instances(SERVICE);
    for (const { pmId } of Array.from({ length: ROUNDS }, () => instances).flat()) {
      const { pid } = (await deployment.instances(SERVICE)).find((one) => one.pmId === pmId)!;
      await stop(pmId, pid!);
      await deployment.until(`pm ${pmId} to be another process`, ({ services }) =>
        services.some((service) =>
          service.instances.some(
            (one) => one.pmId === pmId && one.pid !== pid && one.pid !== null && one.serving,
          ),
        ),
      );
      await whole();
    }
  });
  console.log(`${name} × ${ROUNDS * INSTANCES}: ${tally.answered} answered, ${tally.failed.length} lost`);
  expect(tally.failed).toEqual([]);
  expect(tally.answered).toBeGreaterThan(10 * INSTANCES);
  expect((await deployment.instances(SERVICE)).map(({ attemptsUsed }) => attemptsUsed)).toEqual(charged);
});

it('nor does Holdfast itself when it shrinks and grows the service', async () => {
  await whole();
  const tally = await underLoad(async () => {
    for (const [call, targetInstances] of [
      ['scale-down', 1],
      ['scale-up', INSTANCES],
    ] as const) {
      const { status, data } = await deployment.post(call, { serviceName: SERVICE, targetInstances });
      expect(status).toBe(200);
      expect(data).toMatchObject({ done: true, toInstances: targetInstances });
    }
  });
  console.log(`scaled down and up: ${tally.answered} answered, ${tally.failed.length} lost`);
  expect(tally.failed).toEqual([]);
  expect(tally.answered).toBeGreaterThan(10 * INSTANCES);
});
