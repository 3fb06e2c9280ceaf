/** How the service as a whole is doing, from what is known: no probe, no wait. */
import type { StatusView } from '../domain/views.js';

export type OverallState = 'healthy' | 'degraded' | 'unhealthy';

/** Whether a service that should serve serves nothing. One that an operator stopped should not. */
function servesNothing(service: { state: string; desired: number; serving: number }): boolean {
  return service.state !== 'stopped' && service.desired > 0 && service.serving === 0;
}

/** unhealthy: a service serves nothing. degraded: a service or PM2's daemon is not as it should be. */
export function overallState(status: StatusView): OverallState {
  if (status.services.some(servesNothing)) return 'unhealthy';
  const asWanted = status.services.every(({ state }) => state === 'healthy' || state === 'stopped');
  return asWanted && status.daemon.state === 'connected' ? 'healthy' : 'degraded';
}
