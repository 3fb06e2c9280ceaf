/** How services, instances, decisions and events read on a terminal. Pure: views in, lines out. */
import type { BlackBoxEntry, BlackBoxOutcome } from '../domain/blackBox/blackBox.js';
import type { Diagnosis } from '../domain/diagnosis/facts.js';
import type { EventRecord } from '../domain/events.js';
import type { InstanceView, ServiceState, ServiceView } from '../domain/views/serviceView.js';
import type { DecisionView, LoadBalancerView, StatusView } from '../domain/views/controlPlane.js';
import { duration, megabytes, percent, table, type Terminal } from './terminal.js';

const STATE_COLOURS = {
  healthy: 'green',
  finished: 'green',
  degraded: 'yellow',
  stopped: 'yellow',
  unverified: 'yellow',
  released: 'yellow',
  unhealthy: 'red',
  quarantined: 'red',
} as const satisfies Record<ServiceState, 'green' | 'yellow' | 'red'>;

/** One line: "● my-api  healthy  2 of 2 serving  …". */
export function serviceLine(terminal: Terminal, service: ServiceView, nameWidth: number): string {
  const colour = STATE_COLOURS[service.state];
  const count = `${service.serving} of ${service.desired} serving`;
  return [
    terminal.paint(colour, '●'),
    service.name.padEnd(nameWidth),
    terminal.paint(colour, service.state.padEnd(11)),
    `${count} (${service.min}–${service.max})`.padEnd(24),
    // The plain reason repeats the count.
    service.reason === count ? '' : terminal.paint('dim', service.reason),
  ]
    .join(' ')
    .trimEnd();
}

export function serviceLines(terminal: Terminal, services: readonly ServiceView[]): string[] {
  const width = Math.max(...services.map(({ name }) => name.length), 0);
  return services.map((service) => serviceLine(terminal, service, width));
}

/** What an instance does now, in a few words. */
export function fitnessText({ fitness, serving, draining, quarantined, status }: InstanceView): string {
  if (quarantined) return 'quarantined';
  if (draining) return 'draining';
  if (status === 'stopped') return 'stopped';
  if (fitness.kind === 'unverified') {
    return `${serving ? 'serving' : 'no answer'}, unverified: ${fitness.detail}`;
  }
  if (fitness.kind === 'unfit') return `unfit: ${fitness.cause}, ${fitness.detail}`;
  return serving ? 'serving' : fitness.kind === 'fit' ? 'fit, withdrawn' : fitness.kind;
}

export function instanceLines(services: readonly ServiceView[], nowMs: number): string[] {
  const rows = services.flatMap((service) =>
    service.instances.map((instance) => [
      `${service.name}#${instance.pmId}`,
      instance.pid === null ? '–' : String(instance.pid),
      instance.port === null ? '–' : String(instance.port),
      percent(instance.cpuPercent),
      memoryText(instance),
      instance.pid === null ? '–' : duration(nowMs - instance.startedAtMs),
      String(instance.restarts),
      fitnessText(instance),
    ]),
  );
  return table(['INSTANCE', 'PID', 'PORT', 'CPU', 'MEMORY', 'UP', 'RESTARTS', 'STATE'], rows);
}

/** With the time until it meets its limit, where that is foreseen. */
export function memoryText({ memoryBytes, memoryTrend }: InstanceView): string {
  const now = megabytes(memoryBytes);
  if (memoryTrend.kind !== 'growing' || !memoryTrend.sure) return now;
  return `${now}, limit in ${duration(memoryTrend.etaMs)}`;
}

/** What was found out about a service that does not serve: what, what to do, and the end of its log. */
export function diagnosisLines(terminal: Terminal, { what, advice, log }: Diagnosis): string[] {
  const tail =
    log === null
      ? []
      : [`The end of ${log.path}:`, ...log.lines.map((line) => terminal.paint('dim', `  ${line}`))];
  return [what, advice, ...tail];
}

/** The clock time of an ISO date, in this machine's time zone. */
export function clockTime(iso: string): string {
  return new Date(iso).toLocaleTimeString('en-GB', { hour12: false });
}

function decisionLine(service: string, { at, action, from, to, reason }: DecisionView): string {
  const move = action === 'hold' ? '' : `${from} → ${to}: `;
  return `${clockTime(at)}  ${service}  ${move}${reason}`;
}

/** The latest decision of every service, then up to `limit` moves, newest last. */
export function decisionLines(view: LoadBalancerView, limit: number): string[] {
  const moves = view.services
    .flatMap(({ name, decisions }) => decisions.map((decision) => ({ name, decision })))
    .filter(({ decision }) => decision.action !== 'hold')
    .sort((a, b) => a.decision.at.localeCompare(b.decision.at))
    .slice(-limit);
  const latest = view.services.flatMap(({ name, last }) =>
    last === null || last.action !== 'hold' ? [] : [{ name, decision: last }],
  );
  return [...moves, ...latest].map(({ name, decision }) => decisionLine(name, decision));
}

export function eventLine({ at, type, service, data }: EventRecord): string {
  const details = Object.entries(data)
    .filter(([key]) => key !== 'service')
    .map(([key, value]) => `${key}=${briefly(value)}`)
    .join(' ');
  return `${clockTime(at)}  ${type}${service === null ? '' : `  ${service}`}${details === '' ? '' : `  ${details}`}`;
}

function briefly(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'pmId' in value) {
    const { pmId, port } = value as { pmId: number; port?: number | null };
    return port === null || port === undefined ? `#${pmId}` : `#${pmId}:${port}`;
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What is kept of the last failures, newest last: when, whose, why, what came of it, and under which id. */
export function blackBoxLines(entries: readonly BlackBoxEntry[], limit: number): string[] {
  return entries.slice(-limit).map(({ id, service, pmId, at, cause, detail, outcome }) => {
    const why = `${clockTime(at)}  ${service}#${pmId}  ${cause}: ${detail}`;
    return `${why}; ${outcome ?? 'outcome not known'}  ${id}`;
  });
}

/** What came of a failure. */
export function outcomeText(outcome: BlackBoxOutcome): string {
  switch (outcome.kind) {
    case 'replaced':
      return `#${outcome.byPmId} took its place and served after ${duration(outcome.servingAfterMs)}`;
    case 'restarted':
      return `PM2 started it again, and it served after ${duration(outcome.servingAfterMs)}`;
    case 'recovered':
      return `the same process was fit again after ${duration(outcome.afterMs)}`;
    case 'quarantined':
      return `quarantined after ${duration(outcome.afterMs)}: its budget was spent`;
    case 'ended':
      return `it ended after ${duration(outcome.afterMs)}, and nothing took its place`;
    case 'unsettled':
      return `not settled within ${duration(outcome.watchedMs)}`;
  }
}

/** The head of a status: what is managed, by whom, since when. */
export function headLines(terminal: Terminal, status: StatusView, nowMs: number): string[] {
  const management = status.running ? 'on' : terminal.paint('yellow', 'off (start-ha turns it on)');
  const { daemon } = status;
  const pm2 =
    daemon.state === 'connected'
      ? `PM2 ${daemon.version ?? ''}`.trim()
      : terminal.paint('red', `PM2 ${daemon.state}`);
  const lines = [
    `${terminal.paint('bold', `Holdfast ${status.version}`)} · management ${management} · ${pm2} · up ${duration(nowMs - Date.parse(status.startedAt))}`,
  ];
  if (daemon.problem !== null) lines.push(terminal.paint('red', `PM2: ${daemon.problem}`));
  return lines;
}
