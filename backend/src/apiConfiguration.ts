/** What the API is given of the configuration. */
import { join } from 'node:path';
import { sessionSecretIn } from './adapters/state/sessionSecret.js';
import { FileStateStore } from './adapters/state/fileStateStore.js';
import { privateSocketAt } from './adapters/supervisor/privateSocket.js';
import type { ApiOptions } from './api/api.js';
import type { Config } from './config/load.js';
import { messageOf } from './domain/errors.js';
import { knowSecrets } from './lib/secrets/ofProcess.js';
import { StartProblem } from './startProcess.js';

/** @throws StartProblem where a secret is to be kept for sessions, and can't be. */
export function apiConfiguration(
  config: Config,
  version: string,
): Pick<ApiOptions, 'settings' | 'limits' | 'privateSocket' | 'sessionStore'> {
  const { host, port, allowedHosts, apiToken, dataDir } = config;
  const sessionSecret = config.sessionSecret ?? keptSecret(dataDir);
  return {
    settings: { host, port, allowedHosts, token: apiToken, sessionSecret, version },
    limits: config.apiLimits,
    privateSocket: privateSocketAt(config.apiSocket),
    sessionStore: new FileStateStore(join(dataDir, 'api-sessions.json')),
  };
}

function keptSecret(dataDir: string): string {
  try {
    const secret = sessionSecretIn(dataDir);
    knowSecrets([secret]);
    return secret;
  } catch (error) {
    throw new StartProblem(messageOf(error));
  }
}
