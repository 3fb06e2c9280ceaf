/** `explain`: why a service is as it is, put together from what the supervisor shows. Pure: views in, lines out. */
import type { EventRecord } from '../domain/events.js';
import type { InstanceView, ServiceView } from '../domain/views/serviceView.js';
import type {
  BlackBoxView,
  DecisionView,
  FailoverView,
  LoadBalancerView,
} from '../domain/views/controlPlane.js';
import { unprovenText } from '../domain/failures/unprovenFiles.js';
import { clockTime, diagnosisLines, eventLine, fitnessText, memoryText, outcomeText } from './render.js';
import { duration, percent, table, type Terminal } from './terminal.js';

export type ScalingView = LoadBalancerView['services'][number];
export type FailuresView = FailoverView['services'][number];

/** All that is known of one service. */
export interface Explained {
  readonly service: ServiceView;
  readonly scaling: ScalingView | null;
  readonly thresholds: LoadBalancerView['thresholds'];
  readonly failures: FailuresView | null;
  readonly limits: FailoverView['limits'];
  /** The last one; null: none is kept. */
  readonly blackBox: BlackBoxView | null;
  /** Newest last. */
  readonly events: readonly EventRecord[];
  /** Automatic management is on. */
  readonly managed: boolean;
}

const MOVES = 5;
const STACK_LINES = 8;

export function explanation(terminal: Terminal, about: Explained, nowMs: number): string[] {
  const sections: readonly (readonly [title: string, lines: readonly string[]])[] = [
    ['How many', scalingLines(about)],
    ['Instances', instanceTable(about, nowMs)],
    ['Failures', failureLines(about)],
    ['Last black box', blackBoxLines(about)],
    ['Last events', about.events.map(eventLine)],
  ];
  return [
    ...headLines(terminal, about),
    ...sections
      .filter(([, lines]) => lines.length > 0)
      .flatMap(([title, lines]) => ['', terminal.paint('bold', title), ...lines.map((line) => `  ${line}`)]),
  ];
}

function headLines(terminal: Terminal, { service, managed }: Explained): string[] {
  const { name, state, serving, desired, min, max, reason, operation } = service;
  const { diagnosis, unprovenFiles, startWarnings } = service;
  const count = `${serving} of ${desired} serving`;
  return [
    `${terminal.paint('bold', name)}: ${state}, ${count}${reason === count ? '' : ` (${reason})`}; ${min} to ${max} allowed`,
    // A supervisor of before an update shows none.
    ...(diagnosis ? diagnosisLines(terminal, diagnosis) : []),
    ...(unprovenFiles ? [unprovenText(name)] : []),
    ...(startWarnings ?? []),
    ...(operation === null ? [] : [`Under way since ${clockTime(operation.since)}: ${operation.kind}.`]),
    ...(managed ? [] : ['Automatic management is off: nothing is replaced or scaled by itself.']),
  ];
}

function scalingLines({ scaling, thresholds }: Explained): string[] {
  if (scaling === null) return [];
  const { last, decisions, autoscale, cooldownLeftMs } = scaling;
  const moves = decisions.filter(({ action }) => action !== 'hold').slice(-MOVES);
  return [
    autoscale
      ? `autoscaling is on: up above ${thresholds.cpuHighPercent} % load, down below ${thresholds.cpuLowPercent} %`
      : 'autoscaling is off: decisions are computed and shown, never applied',
    ...(last === null ? [] : decisionLines(last)),
    ...(cooldownLeftMs > 0 ? [`cooldown: ${duration(cooldownLeftMs)} until the next automatic move`] : []),
    ...(moves.length === 0
      ? ['no move is remembered']
      : moves.map(({ at, from, to, reason }) => `moved at ${clockTime(at)}: ${from} → ${to}, ${reason}`)),
  ];
}

function decisionLines({ at, action, from, to, reason, limitedBy, inputs }: DecisionView): string[] {
  const move = action === 'hold' ? '' : `${from} → ${to}, `;
  const { loadPercent, backlogPercent, memoryPercent, ready, starting } = inputs;
  const figures = [
    `load ${percent(loadPercent)}`,
    `backlog ${percent(backlogPercent)}`,
    `memory ${percent(memoryPercent)}`,
    `${ready} ready`,
    `${starting} starting`,
  ];
  return [
    `decided at ${clockTime(at)}: ${move}${reason}`,
    `from: ${figures.join(', ')}`,
    ...(limitedBy === null ? [] : [`limited by: ${limitedBy}`]),
  ];
}

function instanceTable({ service, failures }: Explained, nowMs: number): string[] {
  if (service.instances.length === 0) return ['none'];
  const rows = service.instances.map((instance) => {
    const { pmId, pid, port, startedAtMs, cpuPercent, restarts } = instance;
    return [
      `#${pmId}`,
      pid === null ? '–' : String(pid),
      port === null ? '–' : String(port),
      percent(cpuPercent),
      memoryText(instance),
      pid === null ? '–' : duration(nowMs - startedAtMs),
      String(restarts),
      stateOf(instance, failures),
    ];
  });
  return table(['ID', 'PID', 'PORT', 'CPU', 'MEMORY', 'UP', 'RESTARTS', 'STATE'], rows);
}

function stateOf(instance: InstanceView, failures: FailuresView | null): string {
  const probe = failures?.instances.find(({ pmId }) => pmId === instance.pmId)?.lastProbe ?? null;
  const agent = instance.agent === 'connected' ? '' : `; agent ${instance.agent}`;
  const probed =
    probe === null
      ? '; not probed yet'
      : `; probe ${probe.ok ? 'passed' : 'failed'} at ${clockTime(probe.at)}: ${probe.detail}`;
  return `${fitnessText(instance)}${probed}${agent}`;
}

function failureLines({ failures, limits, service }: Explained): string[] {
  if (failures === null) return [];
  const { quarantine, lastFailure, lastRecovery, attemptsMax } = failures;
  const budgets = service.instances
    .filter(({ attemptsUsed }) => attemptsUsed > 0)
    .map(({ pmId, attemptsUsed }) => `#${pmId} has used ${attemptsUsed}`);
  const window = duration(limits.restartWindowMs);
  return [
    `budget: ${attemptsMax} failures of an instance within ${window} are answered with a new one; ` +
      (budgets.length === 0 ? 'none is charged now' : budgets.join(', ')),
    ...(quarantine === null
      ? []
      : [
          `quarantined since ${clockTime(quarantine.since)}: ${quarantine.reason}; ` +
            (quarantine.nextTrialAt === null
              ? 'a trial is under way'
              : `trial ${quarantine.trials + 1} at ${clockTime(quarantine.nextTrialAt)}`),
        ]),
    ...(lastFailure === null
      ? []
      : [
          `last failure at ${clockTime(lastFailure.at)}: #${lastFailure.pmId} ${lastFailure.cause}, ${lastFailure.detail}`,
        ]),
    ...(lastRecovery === null
      ? []
      : [`last recovery at ${clockTime(lastRecovery.at)}, after ${duration(lastRecovery.afterMs)}`]),
  ];
}

function blackBoxLines({ blackBox }: Explained): string[] {
  if (blackBox === null) return [];
  const { entry, summary, stack } = blackBox;
  const { at, pmId, cause, detail, findings, outcome, ranMs } = summary;
  const frames = stack?.trimEnd().split('\n') ?? [];
  return [
    `${at.slice(0, 10)} ${clockTime(at)}: #${pmId} ${cause} after ${duration(ranMs)}, ${detail}`,
    ...findings,
    ...(outcome === null ? [] : [`outcome: ${outcomeText(outcome)}`]),
    ...frames.slice(0, STACK_LINES).map((line) => `  ${line}`),
    ...(frames.length > STACK_LINES ? [`  … ${frames.length - STACK_LINES} more lines`] : []),
    `everything that was kept: GET /api/ha/blackbox/${entry.id}`,
  ];
}
