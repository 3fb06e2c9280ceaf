/**
 * `scripts/health-check.sh`: one full check now, a line a service, made for cron. Exit code 0 while every service
 * serves (also when something is missing: "degraded"), 1 when one does not, or when nobody answers.
 *
 * Two logs: health-check.log has one line a run, so that it reads as a history; ha-health.log has one line a probe.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { HealthCheckView, HealthView, StatusView } from '../../domain/views.js';
import { parse, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import { openLog } from '../log.js';
import { table, type Terminal } from '../terminal.js';
import { printStatus } from './status.js';

/** The supervisor probes every instance for this call. */
const CHECK_TIMEOUT_MS = 30_000;

export const health: Command = {
  summary: 'one full health check now, for people, cron and machines',
  usage: `Usage: scripts/health-check.sh [--status] [--verbose] [--json]

Probes every instance now and prints a line a service. Exits 0 when every service serves, 1 when one does not or the
supervisor does not answer. Made for cron, for example every 5 minutes:

    */5 * * * * /path/to/scripts/health-check.sh >/dev/null || logger -t holdfast "health check failed"

Logs: logs/health-check.log (a line a run), logs/ha-health.log (a line a probe)

  --status    also instances, load, last decisions and events
  --verbose   every probe with its latency
  --json      the whole result for machines, nothing else
  --help      this text`,

  async run(args, context) {
    const values = parse(args, {
      status: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const result = await check(context);
    await writeLogs(context, result);
    const { terminal } = context;
    if (values.json) {
      terminal.line(JSON.stringify(result, null, 2));
    } else if ('problem' in result) {
      terminal.problem(result.advice === null ? result.problem : `${result.problem}\n${result.advice}`);
    } else {
      printHealth(terminal, result.health, values.verbose);
      if (values.status) {
        terminal.line();
        await printStatus(context, result.status);
      }
    }
    return result.ok ? 0 : 1;
  },
};

type Result =
  | { readonly ok: boolean; readonly at: string; readonly health: HealthView; readonly status: StatusView }
  | { readonly ok: false; readonly at: string; readonly problem: string; readonly advice: string | null };

const START_IT = 'Start it with scripts/start-high-availability.sh, or everything with npm start.';

async function check({ api }: CliContext): Promise<Result> {
  const at = new Date().toISOString();
  try {
    const { data } = await api.get<HealthView>('/api/ha/health', {
      timeoutMs: CHECK_TIMEOUT_MS,
      accept: [503],
    });
    const { data: status } = await api.get<StatusView>('/api/ha/status');
    return { ok: data.status !== 'unhealthy', at, health: data, status };
  } catch (error) {
    const isAway = error instanceof HoldfastError && error.code === 'supervisor.unreachable';
    return { ok: false, at, problem: messageOf(error), advice: isAway ? START_IT : null };
  }
}

const isInstance = ({ name }: HealthCheckView): boolean => name.includes('#');

function printHealth(terminal: Terminal, view: HealthView, verbose: boolean): void {
  const shown = verbose ? view.checks : view.checks.filter((entry) => !isInstance(entry) || !entry.ok);
  const rows = shown.map(({ name, ok, latencyMs, detail }) => [
    ok ? 'ok' : 'FAIL',
    name,
    latencyMs === null ? '' : `${latencyMs.toFixed(1)} ms`,
    detail,
  ]);
  const [, ...lines] = table(['', '', '', ''], rows);
  lines.forEach((line, index) =>
    terminal.line(shown[index]?.ok === true ? line : terminal.paint('red', line)),
  );
  const colour = { healthy: 'green', degraded: 'yellow', unhealthy: 'red' } as const;
  terminal.line(terminal.paint(colour[view.status], view.status));
}

async function writeLogs({ config }: CliContext, result: Result): Promise<void> {
  const runs = openLog(config, 'health-check.log');
  const probes = openLog(config, 'ha-health.log');
  if ('problem' in result) {
    runs.error('no supervisor', { problem: result.problem });
  } else {
    const failed = result.health.checks
      .filter(({ ok }) => !ok)
      .map(({ name, detail }) => `${name}: ${detail}`);
    const level = { healthy: 'info', degraded: 'warn', unhealthy: 'error' } as const;
    runs[level[result.health.status]](result.health.status, { checks: result.health.checks.length, failed });
    for (const { name, ok, latencyMs, detail } of result.health.checks) {
      probes[ok ? 'info' : 'error'](name, { ok, latencyMs, detail });
    }
  }
  await Promise.all([runs.close(), probes.close()]);
}
