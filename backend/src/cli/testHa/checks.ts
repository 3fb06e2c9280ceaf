/**
 * The checks, in the order they run. Each disturbs the deployment in one way, under traffic, and waits until it is
 * whole again. Adding one = one entry in CHECKS.
 */
import { request } from 'node:http';
import { HoldfastError } from '../../domain/errors.js';
import type { ServiceView } from '../../domain/views/serviceView.js';
import { duration } from '../terminal.js';
import {
  awaitService,
  chooseVictim,
  isWhole,
  operate,
  readService,
  readStatus,
  type Check,
  type Outcome,
  type Scene,
} from './scene.js';

const RECOVERY_TIMEOUT_MS = 60_000;
const HANG_MS = 600_000;

const api: Check = {
  name: 'api',
  about: 'every call answers, and nonsense is refused',
  async run(scene) {
    const { context, serviceName } = scene;
    const { api: client } = context;
    const reads = ['status', 'health', 'metrics', 'load-balancer', 'failover-manager', 'events?limit=5'];
    for (const path of reads) await client.get(`/api/ha/${path}`, { timeoutMs: 30_000 });
    const refusals: readonly (readonly [path: string, body: unknown, status: number])[] = [
      ['scale-up', { serviceName, targetInstances: 'many' }, 400],
      ['scale-up', { serviceName, targetInstances: 1.5 }, 400],
      ['scale-up', { serviceName: 'no-such-service' }, 404],
      ['failover', { serviceName: 'no-such-service' }, 404],
      ['no-such-call', {}, 404],
    ];
    for (const [path, body, expected] of refusals) {
      const status = await client.post(`/api/ha/${path}`, body).then(
        (answer) => answer.status,
        (error: unknown) => (error instanceof HoldfastError ? error.status : 0),
      );
      if (status !== expected) {
        return failed(
          `POST /api/ha/${path} ${JSON.stringify(body)} answered ${status} instead of ${expected}.`,
        );
      }
    }
    const { desired } = await readService(scene);
    const again = await operate(scene, 'scale-up', { targetInstances: desired });
    // Unless the autoscaler moved between the two calls.
    if (again.changed && again.fromInstances === desired) {
      return failed(`POST /api/ha/scale-up to the ${desired} instances there are changed something.`);
    }
    return passed(`${reads.length} calls answered, ${refusals.length} wrong ones refused`);
  },
};

const scale: Check = {
  name: 'scale',
  about: 'one instance more and back, or one less and back',
  async run(scene) {
    const { desired, min, max } = await readService(scene);
    if (min === max)
      return skipped(`minInstances and maxInstances are both ${min}, so there is nowhere to go.`);
    const there = desired < max ? desired + 1 : desired - 1;
    const [out, back] =
      there > desired ? (['scale-up', 'scale-down'] as const) : (['scale-down', 'scale-up'] as const);
    const first = await operate(scene, out, { targetInstances: there });
    const second = await operate(scene, back, { targetInstances: desired });
    await awaitService(scene, isWhole, { timeoutMs: RECOVERY_TIMEOUT_MS, what: 'the old size again' });
    return passed(
      `${desired} → ${there} in ${duration(first.durationMs)}, ${there} → ${desired} in ${duration(second.durationMs)}`,
    );
  },
};

const kill: Check = {
  name: 'kill',
  about: 'kill -9 of one instance; a new one must serve',
  async run(scene) {
    if (scene.whyNoSignals !== null) return skipped(scene.whyNoSignals);
    const before = await readService(scene);
    const victim = chooseVictim(before);
    scene.traffic.condemn(victim.pmId);
    process.kill(victim.pid, 'SIGKILL');
    const tookMs = await awaitRecovery(scene, before, victim.pid);
    return passed(`#${victim.pmId} killed, ${before.desired} serving again after ${duration(tookMs)}`);
  },
};

const hang: Check = {
  name: 'hang',
  about: 'an instance stops answering without exiting; it must be replaced',
  async run(scene) {
    if (!scene.hasFaults) {
      return skipped(
        `${scene.serviceName} has no fault switches (GET /debug/slow, POST /debug/block); the sample services have, see .env.example.`,
      );
    }
    if (!(await readStatus(scene)).running)
      return skipped('automatic management is off, so nobody would replace it.');
    const before = await readService(scene);
    const victim = chooseVictim(before);
    scene.traffic.condemn(victim.pmId);
    await blockMainThread(victim.port);
    const tookMs = await awaitRecovery(scene, before, victim.pid, hangTimeoutMs(scene));
    return passed(`#${victim.pmId} hung, ${before.desired} serving again after ${duration(tookMs)}`);
  },
};

const failover: Check = {
  name: 'failover',
  about: 'every instance replaced, one after the other, new one first',
  async run(scene) {
    const before = await readService(scene);
    const report = await operate(scene, 'failover', { reason: 'test-high-availability.sh' });
    const old = new Set(before.instances.map(({ pid }) => pid));
    const after = await readService(scene);
    const kept = after.instances.filter(({ pid }) => pid !== null && old.has(pid));
    if (kept.length > 0)
      return failed(`${kept.map(({ pmId }) => `#${pmId}`).join(', ')} still runs in its old process.`);
    await awaitService(scene, isWhole, { timeoutMs: RECOVERY_TIMEOUT_MS, what: 'a whole service again' });
    return passed(`${report.started.length} replaced in ${duration(report.durationMs)}`);
  },
};

export const CHECKS: readonly Check[] = [api, scale, kill, hang, failover];

const passed = (detail: string): Outcome => ({ kind: 'passed', detail });
const failed = (detail: string): Outcome => ({ kind: 'failed', detail });
const skipped = (why: string): Outcome => ({ kind: 'skipped', why });

function awaitRecovery(
  scene: Scene,
  before: ServiceView,
  pid: number,
  timeoutMs = RECOVERY_TIMEOUT_MS,
): Promise<number> {
  // Meanwhile the autoscaler may have found that fewer are enough.
  const isRecovered = (service: ServiceView): boolean =>
    service.serving >= Math.min(before.desired, service.desired) &&
    service.instances.every((instance) => instance.pid !== pid);
  return awaitService(scene, isRecovered, { timeoutMs, what: 'recovery' });
}

/** The longest that probes may need: until the next one, then all that must fail, then the replacement's start. */
function hangTimeoutMs({ context, serviceName }: Scene): number {
  const { config } = context;
  const policy = { ...config.serviceDefaults, ...config.services.get(serviceName) };
  const detectionMs =
    policy.healthCheckInterval +
    policy.unhealthyThreshold * (policy.healthCheckTimeout + policy.healthCheckFastInterval);
  return detectionMs + policy.startTimeout + policy.drainGrace + policy.killTimeout;
}

/** The switch answers first and blocks then. */
function blockMainThread(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: '127.0.0.1',
        port,
        path: `/debug/block?ms=${HANG_MS}`,
        method: 'POST',
        timeout: 5_000,
        agent: false,
      },
      (response) => {
        response.resume();
        if ((response.statusCode ?? 500) < 400) resolve();
        else
          reject(
            new HoldfastError(
              'test.fault-refused',
              `POST /debug/block answered HTTP ${response.statusCode ?? 0}.`,
            ),
          );
      },
    );
    call.once('timeout', () => call.destroy(new Error('no answer')));
    call.once('error', (error) => {
      reject(new HoldfastError('test.fault-refused', `POST /debug/block failed: ${error.message}`));
    });
    call.end();
  });
}
