import type { StatusView } from '../../backend/src/domain/views/controlPlane.js';
import type { InstanceView } from '../../backend/src/domain/views/serviceView.js';
import { waitFor } from './waitFor.js';

/** The instances of the first service, by number, as soon as exactly two of them serve with their agents connected. */
export function twoServing(status: () => Promise<StatusView>): Promise<readonly InstanceView[]> {
  return waitFor(
    async () => {
      const [service] = (await status()).services;
      const ready = service?.instances.filter(({ serving, agent }) => serving && agent === 'connected') ?? [];
      return service?.state === 'healthy' && ready.length === 2 && service.instances.length === 2 && ready;
    },
    { what: 'two instances that serve, with agents', deadlineMs: 30_000 },
  );
}
