/** The running deployment as the checks see it, and what they may do to it. */
import { HoldfastError } from '../../domain/errors.js';
import type { OperationReport } from '../../domain/model.js';
import type { InstanceView, ServiceView } from '../../domain/views/serviceView.js';
import type { StatusView } from '../../domain/views/controlPlane.js';
import type { CliContext } from '../context.js';
import { pause } from '../deployment.js';
import type { GatewayLoad } from './gatewayLoad.js';
import type { Traffic } from './traffic.js';

const POLL_MS = 50;
const OPERATION_TIMEOUT_MS = 120_000;

export interface Scene {
  readonly context: CliContext;
  /** To the instances. */
  readonly traffic: Traffic;
  /** Through the gateway, or why there is none. */
  readonly gateway: GatewayLoad | { readonly why: string };
  readonly serviceName: string;
  /** The service has fault switches: it can be made to hang. */
  readonly hasFaults: boolean;
  /** Why processes can't be signalled from here, or null: they run on this machine. */
  readonly whyNoSignals: string | null;
  /** Aborted when the operator interrupts the test. */
  readonly interrupted: AbortSignal;
}

/** What one check found. */
export type Outcome =
  | { readonly kind: 'passed'; readonly detail: string }
  | { readonly kind: 'failed'; readonly detail: string }
  | { readonly kind: 'skipped'; readonly why: string };

export interface Check {
  readonly name: string;
  readonly about: string;
  run(scene: Scene): Promise<Outcome>;
}

export async function readStatus({ context }: Pick<Scene, 'context'>): Promise<StatusView> {
  return (await context.api.get<StatusView>('/api/ha/status')).data;
}

export async function readService(scene: Pick<Scene, 'context' | 'serviceName'>): Promise<ServiceView> {
  const status = await readStatus(scene);
  const service = status.services.find(({ name }) => name === scene.serviceName);
  if (service !== undefined) return service;
  const known = status.services.map(({ name }) => name).join(', ');
  throw new HoldfastError(
    'service.unknown',
    `There is no service "${scene.serviceName}". Supervised are: ${known}.`,
  );
}

/** One of the API's operations, to its end. @throws HoldfastError with the API's refusal, or when it did not finish. */
export async function operate(
  scene: Scene,
  operation: 'scale-up' | 'scale-down' | 'failover',
  body: Readonly<Record<string, unknown>>,
): Promise<OperationReport> {
  const request = { serviceName: scene.serviceName, timeoutMs: OPERATION_TIMEOUT_MS, ...body };
  const { data } = await scene.context.api.post<OperationReport>(`/api/ha/${operation}`, request, {
    timeoutMs: OPERATION_TIMEOUT_MS + 5_000,
  });
  if (data.done) return data;
  throw new HoldfastError(
    'operation.unfinished',
    `${operation} is not done after ${data.durationMs} ms: ${data.pending.join('; ')}`,
  );
}

/**
 * Waits until the service satisfies `condition`.
 * @returns how long that took, in ms.
 * @throws HoldfastError when the time ran out, with the state it is in.
 */
export async function awaitService(
  scene: Scene,
  condition: (service: ServiceView) => boolean,
  { timeoutMs, what }: { timeoutMs: number; what: string },
): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    scene.interrupted.throwIfAborted();
    const service = await readService(scene);
    const elapsedMs = performance.now() - startedAt;
    if (condition(service)) return elapsedMs;
    if (elapsedMs > timeoutMs) {
      const now = `${service.serving} of ${service.desired} serving, ${service.state}: ${service.reason}`;
      throw new HoldfastError(
        'test.timeout',
        `${what} did not happen within ${timeoutMs / 1_000} s (${now})`,
      );
    }
    scene.context.terminal.progress(`${what} (${service.serving} of ${service.desired} serving)`);
    await pause(POLL_MS);
  }
}

export function isWhole({ state, serving, desired }: ServiceView): boolean {
  return state === 'healthy' && serving === desired;
}

/** An instance to disturb: one that serves. */
export function chooseVictim({
  instances,
}: ServiceView): InstanceView & { readonly pid: number; readonly port: number } {
  const victim = instances.find(({ serving, pid, port }) => serving && pid !== null && port !== null);
  if (victim === undefined || victim.pid === null || victim.port === null) {
    throw new HoldfastError('test.nothing-serves', 'No instance serves, so none can be disturbed.');
  }
  return { ...victim, pid: victim.pid, port: victim.port };
}
