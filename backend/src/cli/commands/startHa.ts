/**
 * `scripts/start-high-availability.sh`: from "is the supervisor there?" to "it manages, and every service is
 * healthy". What it did is logged, because it often runs at boot, with nobody watching.
 */
import { diagnosisText } from '../../domain/diagnosis/facts.js';
import { messageOf } from '../../domain/errors.js';
import type { ServiceState } from '../../domain/views/serviceView.js';
import { parse, seconds, type Command } from '../command.js';
import { requireSoundConfig, type CliContext } from '../context.js';
import { openLog, type CommandLog } from '../log.js';
import { awaitHealthy, isHealthy } from '../awaitHealthy.js';
import { awaitSupervisor } from '../deployment.js';
import { readEcosystem, SUPERVISOR_NAME } from '../ecosystemFile.js';
import { requireFreePorts } from '../portCheck.js';
import { headLines, serviceLines } from '../render.js';
import { duration } from '../terminal.js';
import { findRunning, requireOwn } from '../running.js';
import { compare, startMissing } from '../startApps.js';

export const startHa: Command = {
  summary: 'start the supervisor if needed, turn automatic management on, wait for healthy services',
  usage: `Usage: scripts/start-high-availability.sh [--timeout SECONDS]
       npx holdfast start-ha [--timeout SECONDS]

Checks that the supervisor answers (starts it through PM2 if not), turns automatic management on and waits until every
service is healthy, but for those that an operator stopped. Exits 0 when it is so, 1 when not. Log: logs/ha-startup.log

  --timeout SECONDS  how long to wait, for the supervisor and then for the services (default 60)
  --help             this text`,
  toleratesMistakes: true,

  async run(args, context) {
    const values = parse(args, { timeout: { type: 'string', default: '60' } });
    const timeoutMs = seconds('timeout', values.timeout) * 1_000;
    const log = openLog(context, 'ha-startup.log');
    try {
      return await startHighAvailability(context, timeoutMs, log);
    } catch (error) {
      log.error('start-high-availability failed', { problem: messageOf(error) });
      throw error;
    } finally {
      await log.close();
    }
  },
};

/**
 * What an operator stopped is down because it should be, and what was let go is left alone; this starts no service. An
 * unverified one serves, and says what is to be set.
 */
const AS_WANTED: readonly ServiceState[] = ['healthy', 'stopped', 'finished', 'released', 'unverified'];

/** @returns the exit code. */
export async function startHighAvailability(
  context: CliContext,
  timeoutMs: number,
  log: CommandLog,
): Promise<number> {
  const { terminal, api, config } = context;
  const running = await findRunning(context, await context.pm2.list(), [SUPERVISOR_NAME]);
  // One that runs without PM2 is asked as well.
  if (running.kind !== 'elsewhere') await requireOwn(context, running, 'up --replace');
  if (await api.isUp()) {
    terminal.done(`The supervisor answers at ${api.url}.`);
  } else {
    terminal.progress('starting the supervisor through PM2');
    await startSupervisor(context);
    await awaitSupervisor(context, timeoutMs);
    terminal.done(`Started the supervisor; it answers at ${api.url}.`);
    log.info('supervisor started', { url: api.url, ecosystemFile: config.ecosystemFile });
  }
  const { data } = await api.post<{ changed: boolean }>('/api/ha/start', {});
  terminal.done(data.changed ? 'Automatic management is on now.' : 'Automatic management was on already.');
  const { status, waitedMs } = await awaitHealthy(context, timeoutMs, AS_WANTED);
  for (const line of [
    ...headLines(terminal, status, Date.now()),
    ...serviceLines(terminal, status.services),
  ]) {
    terminal.line(line);
  }
  const services = status.services.map(({ name, state, serving, desired, reason, diagnosis }) => ({
    name,
    state,
    serving,
    desired,
    reason,
    ...(diagnosis === null ? {} : { diagnosis: diagnosisText(diagnosis) }),
  }));
  if (isHealthy(status, AS_WANTED)) {
    log.info('high availability is on, every service is as wanted', { changed: data.changed, services });
    return 0;
  }
  log.error('high availability is on, not every service is as wanted', { changed: data.changed, services });
  terminal.problem(`Not every service is healthy after ${duration(waitedMs)}; the reasons are above.`);
  return 1;
}

async function startSupervisor(context: CliContext): Promise<void> {
  requireSoundConfig(context);
  const defined = (await readEcosystem(context.config)).filter(({ name }) => name === SUPERVISOR_NAME);
  const { missing, halted } = compare(defined, await context.pm2.list());
  await requireFreePorts(context, missing);
  await startMissing(context, missing);
  if (halted.length > 0) await context.pm2.run(['restart', SUPERVISOR_NAME]);
}
