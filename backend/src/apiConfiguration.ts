/** What the API is given of the configuration. */
import { join } from 'node:path';
import { sessionSecretIn } from './adapters/state/sessionSecret.js';
import { privateSocketAt } from './adapters/supervisor/privateSocket.js';
import type { ApiOptions } from './api/api.js';
import type { Config } from './config/load.js';
import { messageOf } from './domain/errors.js';
import { knowSecrets } from './lib/secrets/ofProcess.js';
import type { Logger } from './ports.js';
import { StartProblem } from './startProcess.js';
import { stateFile } from './stateFile.js';

/** @throws StartProblem where a secret is to be kept for sessions, and can't be. */
export function apiConfiguration(
  config: Config,
  version: string,
  logger: Logger,
): Pick<ApiOptions, 'settings' | 'limits' | 'privateSocket' | 'sessionStore'> {
  const { host, port, allowedHosts, apiToken, dataDir } = config;
  const sessionSecret = config.sessionSecret ?? keptSecret(dataDir);
  return {
    settings: { host, port, allowedHosts, token: apiToken, sessionSecret, version },
    limits: config.apiLimits,
    privateSocket: privateSocketAt(config.apiSocket),
    sessionStore: stateFile(join(dataDir, 'api-sessions.json'), logger),
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
