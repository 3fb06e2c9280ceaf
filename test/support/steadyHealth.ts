import {
  HealthMonitor,
  type HealthMonitorOptions,
} from '../../backend/src/services/observe/healthMonitor.js';

/** A health monitor whose probes all pass: for tests of what else befalls instances. */
export function steadyHealth(clock: HealthMonitorOptions['clock']): HealthMonitor {
  return new HealthMonitor({
    clock,
    prober: { probe: () => Promise.resolve({ ok: true, latencyMs: 1 }) },
    random: () => 0.5,
    locate: () => Promise.resolve(null),
    owners: { ownerOf: () => null, ownersOf: () => Promise.resolve(null) },
    daemonAnswers: () => true,
    isOverloaded: () => false,
    onChange: () => undefined,
  });
}
