/** When an operation is refused before it begins, and what is to be done first. */
import { HoldfastError } from '../../domain/errors.js';
import { explainUnverified } from '../../domain/health/unverified.js';
import type { FailoverManager } from '../failoverManager.js';
import type { Observer } from '../observe/observer.js';
import type { SupervisedService } from '../service/supervisedService.js';

export function refuse(code: string, status: number, message: string): HoldfastError {
  return new HoldfastError(code, message, { status });
}

/** @throws `service.quarantined` (409) */
export function assertNotQuarantined(
  { failover }: { readonly failover: FailoverManager },
  { name }: SupervisedService,
): void {
  const quarantine = failover.quarantine(name);
  if (quarantine.kind === 'none') return;
  throw refuse(
    'service.quarantined',
    409,
    `${name} is quarantined (${quarantine.reason}). Mend it, then deploy, or POST /api/ha/reset-failure/${encodeURIComponent(name)} first.`,
  );
}

/**
 * What is started must be able to prove itself: while all that runs never passed the probe, it could not.
 * @throws `service.unverified` (409)
 */
export function assertVerifiable(service: SupervisedService): void {
  const [unverified] = service.unverified();
  if (unverified === undefined || !service.isUnverified()) return;
  const why = explainUnverified(unverified.process, service.policy, unverified.detail);
  throw refuse(
    'service.unverified',
    409,
    `No instance of ${service.name} has ever passed its health probe, and a new one could not be verified either. ${why}`,
  );
}

/**
 * PM2 answers, the service is not left alone, and it is known what was wanted of it before this was asked for.
 * @throws `service.not-managed` (409), `service.not-adopted`, `pm2.timeout`, `pm2.unreachable` (503)
 */
export function assertReady(
  { observer }: { readonly observer: Observer },
  { name, letGo, adopted }: SupervisedService,
): void {
  if (letGo !== null) {
    const message =
      letGo === 'released'
        ? `${name} is released: Holdfast leaves it alone. POST /api/ha/adopt/${encodeURIComponent(name)} takes it back.`
        : `${name} is not configured any more: Holdfast leaves it alone. Name it in the ecosystem file or in config.yml.`;
    throw refuse('service.not-managed', 409, message);
  }
  const { state, problem } = observer.daemon();
  if (state !== 'connected') {
    throw new HoldfastError(
      state === 'unresponsive' ? 'pm2.timeout' : 'pm2.unreachable',
      `PM2's daemon is ${state} (${problem ?? 'no detail'}); nothing can be started or stopped until it answers.`,
      { status: 503, retryable: true },
    );
  }
  if (adopted) return;
  throw new HoldfastError(
    'service.not-adopted',
    `The supervisor has just started and is still looking at what runs of ${name}. Try again in a few seconds.`,
    { status: 503, retryable: true },
  );
}

/**
 * Each start of a job is one run: one more instance would be a second run.
 * @throws `service.is-job` (409)
 */
export function assertNoJob(service: SupervisedService): void {
  if (!service.isJob()) return;
  throw refuse(
    'service.is-job',
    409,
    `${service.name} is a job (autorestart: false): each start of it is one run, so it is not scaled. Remove autorestart: false if it is to keep running.`,
  );
}
