/** What can be wrong with an instance that something was to be done to. */
import { HoldfastError } from '../../domain/errors.js';
import type { InstanceId } from '../../domain/model.js';

export function nameOf({ service, pmId }: Pick<InstanceId, 'service' | 'pmId'>): string {
  return `${service}#${pmId}`;
}

export function gone(target: InstanceId): HoldfastError {
  return new HoldfastError('pm2.instance-gone', `PM2 has no ${nameOf(target)} any more.`, { status: 409 });
}

export function stillThere(target: InstanceId, problem: string): HoldfastError {
  return new HoldfastError('pm2.not-ended', `${nameOf(target)} is still ${problem}.`, {
    status: 503,
    retryable: true,
  });
}

export function startFailed(service: string, problem: string): HoldfastError {
  return new HoldfastError('pm2.instance-failed', `A new instance of ${service} did not start: ${problem}.`, {
    status: 503,
    retryable: true,
  });
}

export function changed(target: InstanceId): HoldfastError {
  return new HoldfastError(
    'pm2.instance-changed',
    `${nameOf(target)} was restarted in the meantime: what was meant is gone, and the new process is left alone.`,
    { status: 409, details: { service: target.service, pmId: target.pmId } },
  );
}
