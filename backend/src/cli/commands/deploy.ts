/**
 * `scripts/deploy.sh`: the code that lies here becomes the code that runs.
 *
 *   install → build → first start, or service by service through the supervisor: canary, then the rest
 *                   → the supervisor itself, last → high availability on
 *
 * When a canary does not verify, the supervisor removes it and the old instances never stopped serving; what remains
 * is to take the build back, because from now on every restart would run it. Services that were rolled before the
 * one that failed are rolled back to it, too, so that one version runs.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { OperationReport } from '../../domain/model.js';
import type { StatusView } from '../../domain/views.js';
import { parse, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import { openLog, type CommandLog } from '../log.js';
import { awaitSupervisor, pause } from '../deployment.js';
import { SUPERVISOR_NAME } from '../ecosystemFile.js';
import { build, currentBuild, install, isInstalled, revertBuild, revertInstall } from '../release.js';
import { duration } from '../terminal.js';
import { startHighAvailability } from './startHa.js';
import { startAll } from './up.js';

const SERVICE_TIMEOUT_MS = 600_000;
const WAIT_MS = 60_000;

export const deploy: Command = {
  summary: 'install, build, roll out with canary and rollback, turn HA on',
  usage: `Usage: scripts/deploy.sh [--skip-install] [--skip-build] [--service NAME]...

Installs the dependencies, builds, and starts the deployment, or, when it already runs, replaces its instances one at a
time through the supervisor: first a canary, then the rest, then the supervisor itself. If the canary does not verify,
it goes, the old instances stay, and the build before is put back. Finally turns high availability on.
Log: logs/ha-startup.log

  --skip-install   take node_modules as it is
  --skip-build     take the build as it is (there is then nothing to go back to)
  --service NAME   roll only this service; may be repeated (default: all)
  --help           this text`,

  async run(args, context) {
    const values = parse(args, {
      'skip-install': { type: 'boolean', default: false },
      'skip-build': { type: 'boolean', default: false },
      service: { type: 'string', multiple: true },
    });
    const log = openLog(context.config, 'ha-startup.log');
    try {
      const isRunning = await context.api.isUp();
      const release = await prepare(
        context,
        { install: !values['skip-install'], build: !values['skip-build'] },
        log,
      );
      return isRunning
        ? await rollOut(context, release, values.service ?? null, log)
        : await startAll(context, WAIT_MS);
    } catch (error) {
      log.error('deploy failed', { problem: messageOf(error) });
      throw error;
    } finally {
      await log.close();
    }
  },
};

/** What this deploy changed on disk, and therefore has to take back when it does not verify. */
interface Release {
  readonly isInstalled: boolean;
  readonly isBuilt: boolean;
}

async function prepare(
  { config: { root }, terminal }: CliContext,
  wanted: { readonly install: boolean; readonly build: boolean },
  log: CommandLog,
): Promise<Release> {
  const needsInstall = wanted.install && !(await isInstalled(root));
  if (needsInstall) {
    terminal.progress('installing the dependencies beside those in use');
    await install(root);
    terminal.done('Dependencies installed.');
  }
  const before = await currentBuild(root);
  if (wanted.build) {
    terminal.progress('building');
    try {
      await build(root);
    } catch (error) {
      if (needsInstall) await revertInstall(root);
      throw error;
    }
  }
  const isBuilt = before !== (await currentBuild(root));
  terminal.done(isBuilt ? 'Built.' : 'The build is up to date.');
  log.info('release prepared', { installed: needsInstall, built: isBuilt });
  return { isInstalled: needsInstall, isBuilt };
}

async function rollOut(
  context: CliContext,
  release: Release,
  only: readonly string[] | null,
  log: CommandLog,
): Promise<number> {
  const { data: status } = await context.api.get<StatusView>('/api/ha/status');
  const supervised = status.services.map(({ name }) => name);
  const unknown = (only ?? []).filter((name) => !supervised.includes(name));
  if (unknown.length > 0) {
    throw new HoldfastError(
      'service.unknown',
      `There is no service ${unknown.join(', ')}. Supervised are: ${supervised.join(', ')}.`,
    );
  }
  const rolled: string[] = [];
  for (const service of only ?? supervised) {
    try {
      await rollService(context, service, log);
    } catch (error) {
      await takeBack(context, release, rolled, log);
      throw new HoldfastError('deploy.failed', `${service}: ${messageOf(error)}`, { cause: error });
    }
    rolled.push(service);
  }
  if (release.isBuilt || release.isInstalled) await renewSupervisor(context, release, log);
  return startHighAvailability(context, WAIT_MS, log);
}

async function rollService(
  { api, terminal }: CliContext,
  serviceName: string,
  log: CommandLog,
): Promise<void> {
  terminal.progress(`rolling ${serviceName}: one canary, then the rest`);
  const body = { serviceName, timeoutMs: SERVICE_TIMEOUT_MS };
  const { data } = await api.post<OperationReport>('/api/ha/deploy', body, {
    timeoutMs: SERVICE_TIMEOUT_MS + 5_000,
  });
  if (!data.done)
    throw new HoldfastError(
      'deploy.unfinished',
      `${data.message} Still under way: ${data.pending.join('; ')}.`,
    );
  terminal.done(`${serviceName}: ${data.message} (${duration(data.durationMs)})`);
  log.info('service rolled', { ...data });
}

/** Disk first, so that whatever restarts meanwhile runs the old build again; then the services that already moved. */
async function takeBack(
  context: CliContext,
  release: Release,
  rolled: readonly string[],
  log: CommandLog,
): Promise<void> {
  const { config, terminal } = context;
  if (release.isBuilt) await revertBuild(config.root);
  if (release.isInstalled) await revertInstall(config.root);
  if (release.isBuilt)
    terminal.warning('The build before is in place again (the failed one is kept in dist.previous).');
  log.warn('release taken back', { ...release, rolledBack: rolled });
  if (!release.isBuilt && !release.isInstalled) return;
  for (const service of rolled) await rollService(context, service, log);
}

/** Services are untouched while the supervisor is away for a second; it adopts what runs. */
async function renewSupervisor(context: CliContext, release: Release, log: CommandLog): Promise<void> {
  const { terminal, pm2 } = context;
  terminal.progress('restarting the supervisor with the new build');
  const before = await startedAt(context);
  await pm2.run(['restart', SUPERVISOR_NAME], WAIT_MS);
  try {
    await awaitSupervisor(context, WAIT_MS);
    await awaitSuccessor(context, before);
  } catch (error) {
    await takeBack(context, release, [], log);
    await pm2.run(['restart', SUPERVISOR_NAME], WAIT_MS);
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
