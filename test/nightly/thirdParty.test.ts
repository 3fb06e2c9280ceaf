/**
 * Services of others, unmodified, under supervisor and gateway with a real PM2: deployed, failed over, and one instance
 * killed, under traffic all the while. Prints a line for each, and writes it to run/nightly/results.txt.
 */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { QUICK } from '../support/checkout.js';
import { Deployment, repository } from '../support/deployment.js';
import { freePortRange, sendSignal } from '../support/pm2.js';
import { install } from './install.js';
import { services, type NightlyService, type NightlyTraffic } from './services.js';

const INSTANCES = 2;
const PORTS = 24;
/** Traffic before, between and after what is done to the service. */
const A_WHILE_MS = 2_000;
/** A busy machine starts a large program slowly; what answers late is not ill. */
const PATIENT = {
  HEALTH_CHECK_INTERVAL: '5000',
  HEALTH_CHECK_TIMEOUT: '5000',
  START_TIMEOUT: '90000',
  RESTART_WINDOW: '900000',
};
const WHOLE_DEADLINE_MS = 180_000;
/** Requests that one instance may be answering when it is killed. */
const MOST_UNDER_WAY = 8;

const results = join(repository, 'run/nightly/results.txt');
beforeAll(() => {
  mkdirSync(dirname(results), { recursive: true });
  rmSync(results, { force: true });
});

/** Writes the service's files, its ecosystem file and its config.yml. @returns the folder of the application. */
function write(service: NightlyService, packages: string, port: number): string {
  const folder = join(packages, 'app');
  rmSync(folder, { recursive: true, force: true });
  const app = JSON.stringify({ name: service.name, cwd: folder, instances: INSTANCES, ...service.app(port) });
  const ecosystem = [
    `const { defineGateway, defineSupervisor, withAgent } = require('${repository}/backend/ecosystem.cjs');`,
    `const app = ${app};`,
    'module.exports = {',
    `  apps: [defineSupervisor({ file: __filename }), ${service.agent ? 'withAgent(app)' : 'app'}, defineGateway({ file: __filename })],`,
    '};',
  ];
  const settings = { minInstances: String(INSTANCES), portCount: String(PORTS), ...service.settings };
  const config = ['services:', `  ${service.name}:`];
  for (const [name, value] of Object.entries(settings)) config.push(`    ${name}: ${value}`);
  const files = {
    ...service.files,
    'ecosystem.config.cjs': `${ecosystem.join('\n')}\n`,
    'config.yml': `${config.join('\n')}\n`,
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const failedOf = (traffic: readonly NightlyTraffic[]): readonly string[] =>
  traffic.flatMap(({ failed }) => failed);
const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, A_WHILE_MS));

/** What happened to the service: shown when the test fails. */
async function explain(deployment: Deployment, name: string): Promise<void> {
  for (const { at, type, data } of await deployment.events())
    console.log(at, type, JSON.stringify(data).slice(0, 300));
  console.log(await deployment.pm2.pm2('logs', name, '--nostream', '--lines', '40'));
}

it.each(services)(
  '$name serves without a failed request while it is deployed and failed over',
  async (service) => {
    const { name } = service;
    const installed = await install(name);
    const folder = write(service, installed.folder, await freePortRange(PORTS));
    await service.prepare?.(folder);
    const settings = {
      ...QUICK,
      ...PATIENT,
      AUTOSCALE: 'false',
      HA_CONFIG: join(folder, 'config.yml'),
      ...service.environment,
    };
    const deployment = await Deployment.start(
      settings,
      relative(repository, join(folder, 'ecosystem.config.cjs')),
      WHOLE_DEADLINE_MS,
    );
    onTestFinished(async ({ task }) => {
      if (task.result?.state === 'fail') await explain(deployment, name);
      await deployment.dispose();
    });
    await deployment.untilWhole(name, INSTANCES, WHOLE_DEADLINE_MS);

    const traffic = await service.traffic(deployment.gatewayPort, installed.folder);
    await aWhile();
    for (const operation of ['deploy', 'failover']) {
      const before = (await deployment.instances(name)).map(({ pid }) => pid);
      const answer = await deployment.post(operation, { serviceName: name });
      expect(answer).toMatchObject({ status: 200 });
      await deployment.untilWhole(name, INSTANCES, WHOLE_DEADLINE_MS);
      const after = (await deployment.instances(name)).map(({ pid }) => pid);
      expect(after.filter((pid) => before.includes(pid))).toEqual([]);
      await aWhile();
      expect(failedOf(traffic)).toEqual([]);
    }

    const [victim] = await deployment.instances(name);
    sendSignal(victim?.pid ?? 0, 'SIGKILL');
    await deployment.untilWhole(name, INSTANCES, WHOLE_DEADLINE_MS);
    await aWhile();
    for (const one of traffic) await one.stop();
    const failed = failedOf(traffic);
    expect(failed.filter((line) => service.lostByKill?.test(line) !== true)).toEqual([]);
    expect(failed.length).toBeLessThanOrEqual(MOST_UNDER_WAY);

    const sent = traffic.reduce((sum, one) => sum + one.sent, 0);
    const set = Object.entries(service.settings).map(([key, value]) => `${key}: ${value}`);
    const line = `${installed.text}: ${sent} requests, 0 failed in deploy and failover, ${failed.length} lost by kill -9; set: ${set.join(', ') || 'nothing'}`;
    appendFileSync(results, `${line}\n`);
    console.log(line);
  },
);
