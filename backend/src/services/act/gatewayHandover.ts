/**
 * When PM2's daemon died, a gateway in fork mode survives it, unknown to the new daemon. It gets a successor there,
 * which asks it for its port and takes over (gateway.ts).
 */
import type { ManagedProcess } from '../../domain/model.js';
import { lockHolders } from '../../lib/pidLock.js';
import type { Logger, ProcessManager } from '../../ports.js';

const GATEWAY_NAME = 'ha-gateway';

export interface GatewayHandoverOptions {
  readonly manager: Pick<ProcessManager, 'startInstance'>;
  /** The lock that the gateway which serves holds. */
  readonly lock: string;
  readonly logger: Logger;
}

/**
 * Starts the successor where one is needed. Rejects like `startInstance`; may be called again.
 * @param processes what the new daemon lists.
 */
export async function takeGatewayAlong(
  { manager, lock, logger }: GatewayHandoverOptions,
  processes: readonly ManagedProcess[],
): Promise<void> {
  const isListed = processes.some(({ service, pid }) => service === GATEWAY_NAME && pid !== null);
  if (isListed || lockHolders(lock).length === 0) return;
  const { pid } = await manager.startInstance(GATEWAY_NAME);
  logger.info('the gateway survived the daemon; its successor takes over', { pid });
}
