import { isService } from './adapters/pm2/appDefinition.js';
import { loadEcosystem } from './adapters/pm2/ecosystem.js';
import type { Config } from './config/load.js';
import { isJob } from './policies.js';
import { StartProblem } from './startProcess.js';

/**
 * Whose instances serve what no route names.
 * @throws StartProblem when there is nobody, and what loadEcosystem throws.
 */
export async function defaultPool(config: Config): Promise<string> {
  const { gateway, defaultService, services, ecosystemFile, ecosystemEnv, pm2Home, pm2Bin } = config;
  if (gateway.source.kind !== 'pm2') return 'default';
  if (defaultService !== null) return defaultService;
  const defined = await loadEcosystem({ file: ecosystemFile, envName: ecosystemEnv, pm2Home, pm2Bin });
  const service = defined.find((app) => isService(app) && !isJob(app));
  const first = service?.name ?? [...services.keys()][0];
  if (first !== undefined) return first;
  throw new StartProblem(
    `${ecosystemFile} defines no service to send traffic to. Set BACKEND_HOSTS (host:port, separated by commas), or add one.`,
  );
}
