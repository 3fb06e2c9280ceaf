/**
 * `scripts/health-check.sh`: one full check now, a line a service, made for cron. Exit code 0 while every service that
 * should serve does (also when something is missing: "degraded"), 1 when one does not, or when nobody answers.
 *
 * Two logs: health-check.log has one line a run, so that it reads as a history; ha-health.log has one line a probe.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { HealthCheckView, HealthView, StatusView } from '../../domain/views/controlPlane.js';
import { parse, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import { GATEWAY_NAME, readEcosystem } from '../ecosystemFile.js';
import { gatewayUrl } from '../gatewayCheck.js';
import { startAdvice } from '../invocation.js';
import { gatewayHealth, gatewayStatus, type GatewayPoolView } from '../gatewayView.js';
import { openLog } from '../log.js';
import { table, type Terminal } from '../terminal.js';
import { printStatus } from './status.js';

/** The supervisor probes every instance for this call. */
const CHECK_TIMEOUT_MS = 30_000;

export const health: Command = {
  summary: 'one full health check now, for people, cron and machines',
  usage: `Usage: scripts/health-check.sh [--status] [--verbose] [--json]
       npx holdfast health [the same options]

Probes every instance now, asks the gateway, where the deployment has one, and prints a line each. Exits 0 when every
service serves (one that an operator stopped need not) and the gateway sends requests on, 1 when one does not or the
supervisor does not answer. Made for cron, for example every 5 minutes:

    */5 * * * * /path/to/scripts/health-check.sh >/dev/null || logger -t holdfast "health check failed"

Logs: logs/health-check.log (a line a run), logs/ha-health.log (a line a probe)

  --status    also instances, the gateway's pools, load, last decisions and events
  --verbose   every probe with its latency
  --json      the whole result for machines, nothing else
  --help      this text`,
  toleratesMistakes: true,

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
      terminal.json(result);
    } else if ('problem' in result) {
      terminal.problem(result.advice === null ? result.problem : `${result.problem}\n${result.advice}`);
    } else {
      printHealth(terminal, result, values.verbose);
      if (values.status) {
        terminal.line();
        await printStatus(context, result.status);
        if (result.gateway !== null) await printGateway(context);
      }
    }
    return result.ok ? 0 : 1;
  },
};

type Result =
  | {
      readonly ok: boolean;
      readonly at: string;
      readonly health: HealthView;
      readonly status: StatusView;
      /** null: the deployment has none. */
      readonly gateway: HealthCheckView | null;
    }
  | { readonly ok: false; readonly at: string; readonly problem: string; readonly advice: string | null };

async function check(context: CliContext): Promise<Result> {
  const { api } = context;
  const at = new Date().toISOString();
  try {
    const { data } = await api.get<HealthView>('/api/ha/health', {
      timeoutMs: CHECK_TIMEOUT_MS,
      accept: [503],
    });
    const { data: status } = await api.get<StatusView>('/api/ha/status');
    const gateway = await checkGateway(context);
    const ok = data.status !== 'unhealthy' && gateway?.ok !== false;
    return { ok, at, health: data, status, gateway };
  } catch (error) {
    const isAway = error instanceof HoldfastError && error.code === 'supervisor.unreachable';
    return { ok: false, at, problem: messageOf(error), advice: isAway ? startAdvice(context) : null };
  }
}

/** One that does not run is missing only where the deployment has it. */
async function checkGateway(context: CliContext): Promise<HealthCheckView | null> {
  const { ok, latencyMs, detail, isAway } = await gatewayHealth(context);
  if (isAway && !(await definesGateway(context))) return null;
  return { name: 'gateway', ok, latencyMs, detail: `${gatewayUrl(context)} ${detail}` };
}

async function definesGateway({ config }: CliContext): Promise<boolean> {
  try {
    return (await readEcosystem(config)).some(({ name }) => name === GATEWAY_NAME);
  } catch {
    // A file that can't be read is no news of the gateway; the supervisor has its own to say about it.
    return false;
  }
}

const isInstance = ({ name }: HealthCheckView): boolean => name.includes('#');

function printHealth(
  terminal: Terminal,
  { health: view, gateway, ok }: Extract<Result, { health: HealthView }>,
  verbose: boolean,
): void {
  const checks = gateway === null ? view.checks : [...view.checks, gateway];
  const shown = verbose ? checks : checks.filter((entry) => !isInstance(entry) || !entry.ok);
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
  const overall = ok ? view.status : 'unhealthy';
  terminal.line(terminal.paint(colour[overall], overall));
}

/** The gateway's pools, where it shows them. */
async function printGateway(context: CliContext): Promise<void> {
  const { terminal } = context;
  const view = await gatewayStatus(context);
  terminal.line();
  if ('problem' in view) {
    terminal.line(`The gateway's pools are not to be had: ${view.problem}.`);
    return;
  }
  for (const line of poolLines(view.pools)) terminal.line(line);
}

function poolLines(pools: readonly GatewayPoolView[]): string[] {
  const rows = pools.map((pool) => [
    pool.name,
    pool.condition,
    `${pool.upstreams.filter(({ state }) => state === 'up').length} of ${pool.upstreams.length} up`,
    pool.requestsPerSecond.toFixed(1),
    String(pool.inFlight),
    pool.latencyMs === null ? '–' : `${pool.latencyMs.p95.toFixed(0)} ms`,
    pool.errorRate === null ? '–' : `${(pool.errorRate * 100).toFixed(1)} %`,
    pool.routes.join(' '),
  ]);
  return table(['POOL', 'STATE', 'UPSTREAMS', 'REQ/S', 'IN FLIGHT', 'P95', 'ERRORS', 'ROUTES'], rows);
}

async function writeLogs(context: CliContext, result: Result): Promise<void> {
  const runs = openLog(context, 'health-check.log');
  const probes = openLog(context, 'ha-health.log');
  if ('problem' in result) {
    runs.error('no supervisor', { problem: result.problem });
  } else {
    const { health, gateway } = result;
    const checks = gateway === null ? health.checks : [...health.checks, gateway];
    const failed = checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
    const level = { healthy: 'info', degraded: 'warn', unhealthy: 'error' } as const;
    const overall = result.ok ? result.health.status : 'unhealthy';
    runs[level[overall]](overall, { checks: checks.length, failed });
    for (const { name, ok, latencyMs, detail } of checks) {
      probes[ok ? 'info' : 'error'](name, { ok, latencyMs, detail });
    }
  }
  await Promise.all([runs.close(), probes.close()]);
}
