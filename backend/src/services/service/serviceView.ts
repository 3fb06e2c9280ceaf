/** How one service looks from outside: for the API, and for the decision how many instances there should be. */
import { policyWarnings } from '../../domain/failures/endings.js';
import { fitnessOf } from '../../domain/health/health.js';
import type { HealthState } from '../../domain/health/health.js';
import { instanceKey } from '../../domain/model.js';
import type { Fitness, ManagedProcess } from '../../domain/model.js';
import type { InstanceView, ServiceView } from '../../domain/views/serviceView.js';
import type { ServicePolicy } from '../../domain/policy.js';
import type { InstanceLoad } from '../../domain/scaling/window.js';
import { explainUnverified } from '../../domain/health/unverified.js';
import type { Collaborators, SupervisedService } from './supervisedService.js';
import { operand, quoted } from '../../lib/words.js';

const STARTING: Fitness = { kind: 'starting' };

export function viewOf(service: SupervisedService, collaborators: Collaborators): ServiceView {
  const { name, operation, policy } = service;
  return {
    name,
    state: service.state(),
    desired: service.wanted(),
    serving: service.serving().length,
    min: policy.scaling.minInstances,
    max: policy.scaling.maxInstances,
    reason: reasonOf(service, collaborators),
    diagnosis: collaborators.diagnostician.of(name),
    unprovenFiles: service.unproven,
    startWarnings: collaborators.startWarnings(name),
    warnings: [...policyWarnings(policy), ...boundsWarnings(policy), ...service.doubles.warnings()],
    operation:
      operation === null
        ? null
        : { id: operation.id, kind: operation.kind, since: new Date(operation.sinceMs).toISOString() },
    instances: service.processes.map((process) => instanceView(service, process, collaborators)),
  };
}

function boundsWarnings({ scaling: { boundsWarning } }: ServicePolicy): readonly string[] {
  return boundsWarning === undefined ? [] : [boundsWarning];
}

/** Why it is in this state and what happens next. */
function reasonOf(service: SupervisedService, { failover }: Collaborators): string {
  const { name, letGo, operation, policy, lastAction } = service;
  if (letGo === 'released') {
    return `released by an operator: shown, but neither restarted, stopped nor scaled; \`holdfast adopt ${operand(name)}\` takes it back`;
  }
  if (letGo === 'unconfigured') {
    return 'neither in the ecosystem file nor in config.yml any more: left alone until it is named there again';
  }
  if (service.isJob() && service.processes.length === 0) {
    return `a job (autorestart: false) that PM2 does not list; starting it by the ecosystem file begins a run`;
  }
  if (service.isStoppedByOperator()) {
    return `stopped through PM2; \`pm2 start ${quoted(name)}\` or a scale-up starts it`;
  }
  const ran = service.processes.find((process) => service.ends.runEndOf(process) !== null);
  if (ran !== undefined && service.serving().length === 0) return describeRun(service, ran);
  const quarantine = failover.quarantine(name);
  if (quarantine.kind !== 'none') {
    const next =
      quarantine.kind === 'trial'
        ? `pm ${quarantine.pmId} is on trial`
        : `next trial at ${new Date(quarantine.nextTrialAtMs).toISOString()}`;
    return `restart budget spent (${quarantine.reason}); ${next}; \`reset-failure\` ends it`;
  }
  const loop = service.restartLoop();
  if (loop !== null && operation === null) return loop;
  const [unverified] = service.unverified();
  if (unverified !== undefined && operation === null) {
    return explainUnverified(unverified.process, policy, unverified.detail);
  }
  return lastAction.reason;
}

/** Of what PM2 leaves down as it was told. */
function describeRun(service: SupervisedService, process: ManagedProcess): string {
  const { endRules, lastExitCode, pmId } = process;
  if (lastExitCode === undefined && endRules?.autostart === false)
    return `PM2 was told not to start it (autostart: false); change that in the ecosystem file, and \`pm2 delete ${pmId}\` before its next start`;
  const schedule = endRules?.schedule ?? null;
  const next = `PM2 starts it again by its schedule (${schedule ?? ''})`;
  const byHand = `\`pm2 restart ${pmId}\` starts it again`;
  const how = lastExitCode === undefined ? 'ended' : `ended with exit code ${lastExitCode}`;
  const what = endRules?.autorestart === false ? 'its last run' : 'it';
  const failed = service.ends.runEndOf(process) === 'failed' ? ', which is a failure' : ', as intended';
  return `${what} ${how}${failed}; ${schedule === null ? byHand : next}`;
}

/** What deciding how many there should be looks at, every second: no more than that. */
export function loadOf(
  service: SupervisedService,
  process: ManagedProcess,
  { health, failover }: Collaborators,
): InstanceLoad {
  const figures = service.figuresOf(process);
  return {
    fitness: health.state(instanceKey(process)) ?? STARTING,
    serving: service.isServing(process),
    draining: service.isDraining(process),
    quarantined: failover.quarantinedSlot(service.name, process.pmId) !== null,
    cpuPercent: figures?.cpuPercent ?? null,
    memoryBytes: figures?.memoryBytes ?? null,
    eluPercent: figures?.eluPercent ?? null,
    backlogPercent: figures?.backlogPercent ?? null,
  };
}

function instanceView(
  service: SupervisedService,
  process: ManagedProcess,
  collaborators: Collaborators,
): InstanceView {
  const { failover, health, agents } = collaborators;
  return {
    ...process,
    ...loadOf(service, process, collaborators),
    host: health.hostOf(instanceKey(process)),
    owner: health.ownerOf(instanceKey(process)),
    fitness: shownFitness(health.state(instanceKey(process)), collaborators),
    attemptsUsed: failover.attemptsUsed(service.name, process.pmId),
    agent: agents.presence(process),
    memoryTrend: service.memoryTrendOf(process),
  };
}

/** With the time it began in wall-clock time: for display. */
function shownFitness(state: HealthState | null, { clock }: Collaborators): Fitness {
  const fitness: Fitness = state === null ? STARTING : fitnessOf(state);
  if (fitness.kind === 'starting') return fitness;
  return { ...fitness, sinceMs: Math.round(clock.wallMs() - (clock.nowMs() - fitness.sinceMs)) };
}
