/**
 * Waiting for services to serve, as long as waiting can help. What the supervisor finds out about one that does not come
 * up is printed as soon as it is known; where every service that is missing has a diagnosis that time does not change,
 * the wait ends.
 */
import type { ServiceState, ServiceView } from '../domain/views/serviceView.js';
import type { StatusView } from '../domain/views/controlPlane.js';
import type { CliContext } from './context.js';
import { pause } from './deployment.js';
import { diagnosisLines } from './render.js';

const POLL_MS = 250;
const HEALTHY: readonly ServiceState[] = ['healthy', 'finished'];
/** For so long nothing may change before the wait is given up: what the supervisor does next may be what helps. */
const STANDS_MS = 1_000;

export interface Awaited {
  /** The last status; its services say what is still amiss. */
  readonly status: StatusView;
  readonly waitedMs: number;
}

/** Waits until every service is healthy, or in another state of `good`; at most `timeoutMs`. */
export async function awaitHealthy(
  context: CliContext,
  timeoutMs: number,
  good: readonly ServiceState[] = HEALTHY,
): Promise<Awaited> {
  const { terminal, api } = context;
  const begunMs = performance.now();
  const told = new Map<string, string>();
  let hopelessSinceMs: number | null = null;
  for (;;) {
    const { data: status } = await api.get<StatusView>('/api/ha/status');
    const nowMs = performance.now();
    const waitedMs = nowMs - begunMs;
    const missing = status.services.filter(({ state }) => !good.includes(state));
    if (missing.length === 0 && status.services.length > 0) return { status, waitedMs };
    for (const service of missing) tell(context, service, told);
    const isHopeless = missing.length > 0 && missing.every((service) => service.diagnosis?.settled === true);
    hopelessSinceMs = isHopeless ? (hopelessSinceMs ?? nowMs) : null;
    const isOver = hopelessSinceMs !== null && nowMs - hopelessSinceMs >= STANDS_MS;
    if (isOver || waitedMs > timeoutMs) return { status, waitedMs };
    terminal.progress(progressText(missing));
    await pause(POLL_MS);
  }
}

export function isHealthy({ services }: StatusView, good: readonly ServiceState[] = HEALTHY): boolean {
  return services.length > 0 && services.every(({ state }) => good.includes(state));
}

function progressText(missing: readonly ServiceView[]): string {
  if (missing.length === 0) return 'waiting for the supervisor to see its services';
  const counts = missing.map(({ name, serving, desired }) => `${name} ${serving} of ${desired}`);
  return `serving: ${counts.join(', ')}`;
}

/** Each kind of finding once: how many seconds have passed since is no news. */
function tell({ terminal }: CliContext, { name, diagnosis }: ServiceView, told: Map<string, string>): void {
  // A supervisor of before an update shows none.
  if (!diagnosis || told.get(name) === diagnosis.code) return;
  told.set(name, diagnosis.code);
  const [first = '', ...others] = diagnosisLines(terminal, diagnosis);
  terminal.problem(first);
  for (const line of others) terminal.detail(line);
}
