/**
 * A PM2 home with the tiny service in it, an agent in every instance unless asked otherwise, and, when asked for, the
 * supervisor beside it: defined by backend/ecosystem.cjs and started by `pm2 start`, as in production. Settings are the defaults, except for where
 * things lie, automatic scaling (off: it would shrink an idle service; it still decides every second), and as many
 * instances as a measurement needs.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createPm2Home, type Pm2Home } from '../../test/support/pm2.js';
import { freePortRange } from '../../test/support/ports.js';
import { waitFor } from '../../test/support/waitFor.js';
import { get } from '../lib/http.js';
import { benchFolder, rootFolder } from '../lib/paths.js';
import { Api } from './api.js';

export const SERVICE = 'tiny';
const SUPERVISOR = 'ha-supervisor';
/** Instances that a service may grow by, and ports for them and for one that is being replaced. */
const SPARE_INSTANCES = 8;
const SPARE_PORTS = SPARE_INSTANCES + 1;
const START_DEADLINE_MS = 60_000;

const homes = new Set<Pm2Home>();

/** Ends everything that is still running: for a bench that is interrupted. */
export async function disposeAll(): Promise<void> {
  await Promise.all([...homes].map((home) => home.dispose()));
}

export interface Deployment {
  readonly pm2: Pm2Home;
  readonly firstPort: number;
  /** First `instances` ports: where the instances are at first. */
  readonly ports: readonly number[];
  /** Starts the supervisor; resolves when it counts every instance as serving. */
  startSupervisor(): Promise<{ readonly api: Api; readonly pid: number }>;
  daemonPid(): number;
  dispose(): Promise<void>;
}

/** A PM2 of the bench's own, which is gone after `dispose`, and when the bench is interrupted. */
export function createHome(): { readonly pm2: Pm2Home; readonly dispose: () => Promise<void> } {
  const pm2 = createPm2Home();
  homes.add(pm2);
  const dispose = async (): Promise<void> => {
    await pm2.dispose();
    homes.delete(pm2);
  };
  return { pm2, dispose };
}

/** Starts `instances` of the tiny service through PM2; resolves when all of them answer. */
export async function deploy(
  instances: number,
  mode: 'cluster' | 'fork',
  agents = true,
): Promise<Deployment> {
  const { pm2, dispose } = createHome();
  try {
    const firstPort = await freePortRange(instances + SPARE_PORTS + 1);
    const apiPort = firstPort + instances + SPARE_PORTS;
    const file = join(pm2.home, 'ecosystem.config.cjs');
    writeFileSync(file, ecosystem({ home: pm2.home, instances, mode, firstPort, apiPort, agents }));
    await pm2.pm2('start', file, '--only', SERVICE, '--env', 'production');
    const ports = Array.from({ length: instances }, (_, index) => firstPort + index);
    for (const port of ports) {
      await waitFor(async () => (await get(port, '/')) === 200, {
        what: `an answer on port ${port}`,
        deadlineMs: START_DEADLINE_MS,
      });
    }
    const startSupervisor = async (): Promise<{ api: Api; pid: number }> => {
      await pm2.pm2('start', file, '--only', SUPERVISOR, '--env', 'production');
      const api = new Api(apiPort);
      const isWhole = async (): Promise<boolean> => (await api.servingPorts(SERVICE)).length === instances;
      await waitFor(isWhole, {
        what: `the supervisor to see ${instances} serving instances`,
        deadlineMs: START_DEADLINE_MS,
        intervalMs: 250,
      }).catch((error: unknown) => {
        const log = readFileSync(join(pm2.home, 'logs/pm2-supervisor-error.log'), 'utf8').slice(-2_000);
        throw new Error(`the supervisor did not come up; it said: ${log || 'nothing'}`, { cause: error });
      });
      return { api, pid: (await api.status()).node.pid };
    };
    const daemonPid = (): number => {
      const pid = pm2.daemonPid();
      if (pid === null) throw new Error(`the PM2 daemon of ${pm2.home} has gone`);
      return pid;
    };
    return { pm2, firstPort, ports, startSupervisor, daemonPid, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

interface EcosystemOptions {
  readonly home: string;
  readonly instances: number;
  readonly mode: 'cluster' | 'fork';
  readonly firstPort: number;
  readonly apiPort: number;
  readonly agents: boolean;
}

/** The text of the ecosystem file. The supervisor's part is production's own, moved into the temporary folder. */
function ecosystem({ home, instances, mode, firstPort, apiPort, agents }: EcosystemOptions): string {
  const settings = {
    HA_PORT: String(apiPort),
    HA_DATA_DIR: join(home, 'data'),
    HA_LOG_DIR: join(home, 'logs'),
    PM2_HOME: home,
    AUTOSCALE: 'false',
    MAX_INSTANCES: String(instances + SPARE_INSTANCES),
    PORT_COUNT: String(instances + SPARE_PORTS),
  };
  const service = {
    name: SERVICE,
    script: join(benchFolder, 'apps/instance.cjs'),
    cwd: home,
    exec_mode: mode,
    instances,
    increment_var: 'PORT',
    port: firstPort,
    filter_env: [''],
    kill_timeout: 10_000,
    pmx: false,
    vizion: false,
    merge_logs: true,
    // What any process gets from PM2's command line: the supervisor hands the same on to the instances it adds.
    env: { ...baseEnv(), NODE_ENV: 'production' },
  };
  return `'use strict';
Object.assign(process.env, ${JSON.stringify(settings)});
const { defineSupervisor, withAgent } = require(${JSON.stringify(join(rootFolder, 'backend/ecosystem.cjs'))});
const supervisor = defineSupervisor({ file: __filename, autoscale: false });
// Neither the checkout's .env nor its config.yml has a say in a measurement.
supervisor.env.HA_ROOT = ${JSON.stringify(home)};
const service = ${JSON.stringify(service)};
module.exports = { apps: [supervisor, ${agents ? 'withAgent(service)' : 'service'}] };
`;
}

function baseEnv(): Record<string, string> {
  const names = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'SHELL'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
