/** What the API is given of the configuration. */
import { join } from 'node:path';
import { FileStateStore } from './adapters/state/fileStateStore.js';
import { privateSocketAt } from './adapters/supervisor/privateSocket.js';
import type { ApiOptions } from './api/api.js';
import type { Config } from './config/load.js';

export function apiConfiguration(
  config: Config,
  version: string,
): Pick<ApiOptions, 'settings' | 'limits' | 'privateSocket' | 'sessionStore'> {
  const { host, port, allowedHosts, apiToken, sessionSecret } = config;
  return {
    settings: { host, port, allowedHosts, token: apiToken, sessionSecret, version },
    limits: config.apiLimits,
    privateSocket: privateSocketAt(config.apiSocket),
    sessionStore: new FileStateStore(join(config.dataDir, 'api-sessions.json')),
  };
}
