/**
 * A new build for a gateway that serves: PM2 gets a second `ha-gateway`, which takes the port over from the first
 * (gateway.ts); the first finishes what it has under way, leaves, and is removed from PM2's list. If the second does
 * not come up, it goes, and the first was never disturbed.
 */
import { systemClock } from '../adapters/clock.js';
import { createPm2ProcessManager } from '../adapters/pm2/processManager.js';
import type { Pm2ProcessManager } from '../adapters/pm2/processManager.js';
import { HoldfastError } from '../domain/errors.js';
import type { InstanceId, ManagedProcess } from '../domain/model.js';
import type { CliContext } from './context.js';
import { GATEWAY_NAME, readEcosystem } from './ecosystemFile.js';
import { awaitGateway } from './gatewayCheck.js';

const POLL_MS = 250;
/** On top of the time that the predecessor may take to finish. */
const SLACK_MS = 30_000;
const nothing = (): void => undefined;
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/**
 * @returns false when none runs, or it was left to PM2.
 * @throws HoldfastError `gateway.not-renewed` when the new one does not take over; the old one then serves on.
 */
export async function renewGateway(context: CliContext): Promise<boolean> {
  const { config } = context;
  const { pm2Home, pm2Bin, gateway } = config;
  const manager = createPm2ProcessManager({
    pm2Home,
    services: () => [GATEWAY_NAME],
    definitions: () => readEcosystem(config),
    portRange: () => null,
    killTimeoutMs: () => gateway.stopTimeoutMs + SLACK_MS,
    clock: systemClock,
    logger: SILENT,
    ...(pm2Bin === null ? {} : { pm2Bin }),
  });
  try {
    const before = (await rowsOf(manager)).find(({ status }) => status === 'online');
    if (before === undefined) return false;
    context.terminal.progress('a gateway of the new build takes over');
    const successor = await manager.startInstance(GATEWAY_NAME);
    await handedOver(manager, before, successor, gateway.stopTimeoutMs + SLACK_MS);
    await manager.removeInstance(before);
    await awaitGateway(context, SLACK_MS);
    return true;
  } finally {
    await manager.close();
  }
}

const rowsOf = async (manager: Pm2ProcessManager): Promise<readonly ManagedProcess[]> =>
  (await manager.list()).filter(({ service }) => service === GATEWAY_NAME);

/** Waits until the predecessor has left while the successor stays. */
async function handedOver(
  manager: Pm2ProcessManager,
  before: InstanceId,
  successor: InstanceId,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const rows = await rowsOf(manager);
    const online = (id: InstanceId): boolean =>
      rows.some(({ pmId, status }) => pmId === id.pmId && status === 'online');
    if (online(successor) && !online(before)) return;
    if (!online(successor) || performance.now() > deadline) {
      const current = rows.find(({ pmId }) => pmId === successor.pmId);
      if (current !== undefined) await manager.removeInstance(current);
      throw new HoldfastError(
        'gateway.not-renewed',
        'The gateway of the new build did not take over; the one before goes on serving. `pm2 logs ha-gateway` says why.',
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
