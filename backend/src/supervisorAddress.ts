/** Where the supervisor of this configuration is, for the gateway and the command line. */
import { isOwnAddress } from './adapters/net/ownAddress.js';
import type { SupervisorAddress } from './adapters/supervisor/supervisorAgent.js';
import type { Config } from './config/load.js';
import { reachableUrl } from './config/reachable.js';

export function supervisorAddress({ host, port, apiToken, apiSocket, dataDir }: Config): SupervisorAddress {
  const isHere = isOwnAddress(host.toLowerCase());
  return {
    url: reachableUrl(host, port),
    token: apiToken,
    local: isHere ? { socketPath: apiSocket, dataDir } : null,
  };
}
