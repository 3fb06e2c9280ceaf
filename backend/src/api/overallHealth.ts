/** How the service as a whole is doing, from what is known: no probe, no wait. */
import type { StatusView } from '../domain/views/controlPlane.js';

export type OverallState = 'healthy' | 'degraded' | 'unhealthy';

/** What an operator stopped or let go, and what ended as intended, is as it should be. */
const AS_WANTED: ReadonlySet<string> = new Set(['healthy', 'stopped', 'finished', 'released']);

/** Whether a service that should serve serves nothing. One that an operator stopped or let go need not. */
function servesNothing(service: { state: string; desired: number; serving: number }): boolean {
  return !AS_WANTED.has(service.state) && service.desired > 0 && service.serving === 0;
}

/** unhealthy: a service serves nothing. degraded: a service or PM2's daemon is not as it should be. */
export function overallState(status: StatusView): OverallState {
  if (status.services.some(servesNothing)) return 'unhealthy';
  const asWanted = status.services.every(({ state }) => AS_WANTED.has(state));
  return asWanted && status.daemon.state === 'connected' ? 'healthy' : 'degraded';
}
