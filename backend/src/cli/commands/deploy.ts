/**
 * `scripts/deploy.sh`: the code that lies here becomes the code that runs.
 *
 *   install → build → first start, or service by service through the supervisor: canary, then the rest
 *                   → the gateway, by handing over → the supervisor itself, last → high availability on
 *
 * When a canary does not verify, the supervisor removes it and the old instances never stopped serving; what remains
 * is to take the build back, because from now on every restart would run it. Services that were rolled before the
 * one that failed are rolled back to it, too, so that one version runs.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { OperationReport } from '../../domain/model.js';
import type { StatusView } from '../../domain/views/controlPlane.js';
import { isPackage, packageFolder } from '../../installation.js';
import { parseWords, seconds, type Command } from '../command.js';
import { requireSoundConfig, type CliContext } from '../context.js';
import { openLog, type CommandLog } from '../log.js';
import { awaitSupervisor, pause } from '../deployment.js';
import { GATEWAY_NAME, isService, readEcosystem, SUPERVISOR_NAME } from '../ecosystemFile.js';
import { runningNames } from '../ownApps.js';
import { renewGateway } from '../gatewayRenewal.js';
import { operate } from '../operation.js';
import {
  build,
  install,
  isInstalled,
  markDeployed,
  placeOf,
  readBuilds,
  revertBuild,
  revertInstall,
} from '../release.js';
import { findRunning, requireOwn } from '../running.js';
import { requireWritableFolders } from '../startApps.js';
import { findService, unknownService } from '../services.js';
import { duration } from '../terminal.js';
import { startHighAvailability } from './startHa.js';
import { startAll } from './up.js';

const SERVICE_TIMEOUT_MS = 600_000;
const WAIT_MS = 60_000;

export const deploy: Command = {
  summary: 'install, build, roll out with canary and rollback, turn HA on',
  usage: `Usage: scripts/deploy.sh [--skip-install] [--skip-build] [--service NAME]...
       npx holdfast deploy [the same options]
       npx holdfast deploy SERVICE [--put-back] [--timeout SECONDS] [--json]

Installs the dependencies, builds, and starts the deployment, or, when it already runs, replaces its instances one at a
time through the supervisor: first a canary, then the rest, then gateway and supervisor. If the canary does not verify,
it goes, the old instances stay, and the build before is put back. Finally turns high availability on.
Log: logs/ha-startup.log

A Holdfast that npm installed as a package neither installs nor builds: npm does that.
With SERVICE, only that is rolled to what lies in its folder now, canary first; nothing is installed, built or put back.

    npx holdfast deploy my-api

  --skip-install   take node_modules as it is
  --skip-build     take the build as it is (there is then nothing to go back to)
  --service NAME   roll only this service; may be repeated (default: all that are not stopped)
  --put-back         with SERVICE: first put back the files that served last; those that lie there are moved aside
  --timeout SECONDS  with SERVICE: how long to wait until it is done (default 600)
  --json             with SERVICE: the supervisor's own answer, for machines
  --help           this text`,
  toleratesMistakes: true,

  async run(args, context) {
    const { values, words } = parseWords(
      args,
      {
        'skip-install': { type: 'boolean', default: false },
        'skip-build': { type: 'boolean', default: false },
        service: { type: 'string', multiple: true },
        timeout: { type: 'string', default: String(SERVICE_TIMEOUT_MS / 1_000) },
        json: { type: 'boolean', default: false },
        'put-back': { type: 'boolean', default: false },
      },
      ['[SERVICE]'],
    );
    const timeoutMs = seconds('timeout', values.timeout) * 1_000;
    if (words[0] !== undefined)
      return deployOne(context, words[0], values['put-back'], { timeoutMs, json: values.json });
    requireSoundConfig(context);
    await requireOwnDeployment(context);
    const log = openLog(context, 'ha-startup.log');
    try {
      const before = await whatRuns(context);
      // npm installs a package, and it comes built.
      const isWanted = (step: 'install' | 'build'): boolean => !isPackage && !values[`skip-${step}`];
      const wanted = { install: isWanted('install'), build: isWanted('build') };
      const release = await prepare(context, wanted, log);
      if (!before.supervisor) {
        const code = await startAll(context, WAIT_MS);
        if (code !== 0) return code;
      }
      // Services that were just started run the new build already.
      const rolls = before.supervisor || before.services;
      const rolled = rolls ? await rollOut(context, release, values.service ?? null, log) : [];
      // Each for itself: a gateway serves on while the supervisor is down, with the build of before.
      if (before.gateway && release.changes) await renewGatewayToo(context, release, rolled, log);
      if (before.supervisor && release.changes) await renewSupervisor(context, release, rolled, log);
      await markDeployed(placeOf(context.config));
      return await startHighAvailability(context, WAIT_MS, log);
    } catch (error) {
      log.error('deploy failed', { problem: messageOf(error) });
      throw error;
    } finally {
      await log.close();
    }
  },
};

/** A release of this project is not for what another one runs. */
async function requireOwnDeployment(context: CliContext): Promise<void> {
  requireWritableFolders(context);
  const names = (await readEcosystem(context.config)).map(({ name }) => name);
  await requireOwn(context, await findRunning(context, await context.pm2.list(), names), 'up --replace');
}

/** Rolls one service through the supervisor. @returns the exit code. */
async function deployOne(
  context: CliContext,
  service: string,
  putBack: boolean,
  options: { readonly timeoutMs: number; readonly json: boolean },
): Promise<number> {
  const { name } = await findService(context.api, service);
  const progress = `rolling ${name}: one canary, then the rest`;
  return operate(context, {
    call: 'deploy',
    body: { serviceName: name, ...(putBack ? { putBack } : {}) },
    progress,
    ...options,
  });
}

/** What lies on disk now, compared with what runs. */
interface Release {
  /** Something new is to be run. */
  readonly changes: boolean;
  /** What has to be taken back when it does not verify. */
  readonly revertsInstall: boolean;
  readonly revertsBuild: boolean;
}

async function prepare(
  { config, terminal }: CliContext,
  wanted: { readonly install: boolean; readonly build: boolean },
  log: CommandLog,
): Promise<Release> {
  const needsInstall = wanted.install && !(await isInstalled(packageFolder));
  if (needsInstall) {
    terminal.progress('installing the dependencies beside those in use');
    await install(packageFolder);
    terminal.done('Dependencies installed.');
  }
  const before = await readBuilds(placeOf(config));
  if (wanted.build) {
    terminal.progress('building');
    try {
      await build(packageFolder);
    } catch (error) {
      if (needsInstall) await revertInstall(packageFolder);
      throw error;
    }
  }
  const { current, previous } = await readBuilds(placeOf(config));
  const running = before.deployed ?? before.current;
  const isNew = current !== running;
  terminal.done(current === before.current ? 'The build is up to date.' : 'Built.');
  if (isNew && running !== null && previous !== running) {
    terminal.warning(
      'The build that runs is not kept any more; should the new one fail, there is none to go back to.',
    );
  }
  const release = {
    changes: isNew || needsInstall,
    revertsInstall: needsInstall,
    revertsBuild: isNew && previous !== null && previous === running,
  };
  log.info('release prepared', release);
  return release;
}

/** What runs, and so runs the build of before: whatever is started from here on has the new one. */
async function whatRuns(context: CliContext) {
  const running = await runningNames(context, await readEcosystem(context.config));
  return {
    supervisor: await context.api.isUp(),
    gateway: running.has(GATEWAY_NAME),
    services: [...running].some((name) => isService({ name })),
  };
}

/**
 * Which services: those asked for, or all that the ecosystem file defines and the supervisor looks after, but not what
 * an operator stopped, which a roll would start.
 */
async function chooseServices(
  { api, config, terminal }: CliContext,
  only: readonly string[] | null,
): Promise<readonly string[]> {
  const { data: status } = await api.get<StatusView>('/api/ha/status');
  const supervised = status.services.map(({ name }) => name);
  const unknown = only?.find((name) => !supervised.includes(name));
  if (unknown !== undefined) throw unknownService(unknown, supervised);
  const defined = new Set((await readEcosystem(config)).map(({ name }) => name));
  if (only !== null) return only;
  const rollable = status.services.filter(({ name }) => defined.has(name));
  for (const { name, state } of rollable) {
    if (state === 'stopped') terminal.line(`${name} is stopped and stays so.`);
  }
  return rollable.filter(({ state }) => state !== 'stopped').map(({ name }) => name);
}

async function rollOut(
  context: CliContext,
  release: Release,
  only: readonly string[] | null,
  log: CommandLog,
): Promise<readonly string[]> {
  const rolled: string[] = [];
  try {
    for (const service of await chooseServices(context, only)) {
      await rollService(context, service, log);
      rolled.push(service);
    }
  } catch (error) {
    // Still under way is not failed: taking the build away under it would mix two versions.
    const isUnfinished = error instanceof HoldfastError && error.code === 'deploy.unfinished';
    if (!isUnfinished) {
      await revert(context, release, log);
      await rollBack(context, release, rolled, log);
    }
    throw error;
  }
  return rolled;
}

async function rollService(
  { api, terminal }: CliContext,
  serviceName: string,
  log: CommandLog,
): Promise<void> {
  terminal.progress(`rolling ${serviceName}: one canary, then the rest`);
  const body = { serviceName, timeoutMs: SERVICE_TIMEOUT_MS };
  const { data } = await api
    .post<OperationReport>('/api/ha/deploy', body, { timeoutMs: SERVICE_TIMEOUT_MS + 5_000 })
    .catch((error: unknown) => {
      throw new HoldfastError('deploy.failed', `${serviceName} was not rolled: ${messageOf(error)}`, {
        cause: error,
      });
    });
  if (!data.done)
    throw new HoldfastError(
      'deploy.unfinished',
      `${data.message} Still under way: ${data.pending.join('; ')}.`,
    );
  terminal.done(`${serviceName}: ${data.message} (${duration(data.durationMs)})`);
  log.info('service rolled', { ...data });
}

/** On disk, so that whatever restarts from now on runs the old build again. */
async function revert({ terminal }: CliContext, release: Release, log: CommandLog): Promise<void> {
  if (release.revertsInstall) await revertInstall(packageFolder);
  if (release.revertsBuild) {
    await revertBuild(packageFolder);
    terminal.warning('The build before is in place again; the failed one is kept in dist.previous.');
  }
  log.warn('release taken back', { ...release });
}

/** The services that moved already. */
async function rollBack(
  context: CliContext,
  { revertsInstall, revertsBuild }: Release,
  rolled: readonly string[],
  log: CommandLog,
): Promise<void> {
  if (!revertsBuild && !revertsInstall) return;
  for (const service of rolled) {
    try {
      await rollService(context, service, log);
    } catch (error) {
      context.terminal.problem(
        `${service} could not be rolled back to the build before: ${messageOf(error)}`,
      );
    }
  }
}

/** No request is lost: the new gateway takes the port over, the old one finishes what it has. */
async function renewGatewayToo(
  context: CliContext,
  release: Release,
  rolled: readonly string[],
  log: CommandLog,
): Promise<void> {
  try {
    if (await renewGateway(context)) context.terminal.done('The gateway runs the new build.');
  } catch (error) {
    await revert(context, release, log);
    await rollBack(context, release, rolled, log);
    throw error;
  }
}

/** Services are untouched while the supervisor is away for a second; it adopts what runs. */
async function renewSupervisor(
  context: CliContext,
  release: Release,
  rolled: readonly string[],
  log: CommandLog,
): Promise<void> {
  const { terminal, pm2 } = context;
  terminal.progress('restarting the supervisor with the new build');
  const before = await startedAt(context);
  const restart = async (): Promise<void> => {
    await pm2.run(['restart', SUPERVISOR_NAME], WAIT_MS);
    await awaitSupervisor(context, WAIT_MS);
    await awaitSuccessor(context, before);
  };
  try {
    await restart();
  } catch (error) {
    await revert(context, release, log);
    await restart();
    await rollBack(context, release, rolled, log);
    throw error;
  }
  terminal.done('The supervisor runs the new build.');
}

async function startedAt({ api }: CliContext): Promise<string> {
  return (await api.get<StatusView>('/api/ha/status')).data.startedAt;
}

async function awaitSuccessor(context: CliContext, before: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (performance.now() < deadline) {
    if ((await startedAt(context).catch(() => before)) !== before) return;
    await pause(250);
  }
  throw new HoldfastError(
    'supervisor.not-starting',
    `The supervisor that answers at ${context.api.url} is still the one from ${before}.`,
  );
}
