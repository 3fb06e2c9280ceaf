/** The applications of the ecosystem file, for the commands. */
import type { DefinedApp } from '../adapters/pm2/appDefinition.js';
import { EcosystemReader } from '../adapters/pm2/ecosystem.js';
import type { Config } from '../config/load.js';
import { HoldfastError, messageOf } from '../domain/errors.js';
import type { CliContext } from './context.js';

export { GATEWAY_NAME, isService, SUPERVISOR_NAME } from '../adapters/pm2/appDefinition.js';
export type { DefinedApp };

type Source = Pick<Config, 'ecosystemFile' | 'ecosystemEnv' | 'pm2Home' | 'pm2Bin'>;

/** One of which only the name is known. */
export function undefinedApp(name: string): DefinedApp {
  return {
    name,
    instances: 1,
    port: null,
    portFrom: null,
    portVariable: null,
    page: null,
    label: null,
    script: null,
    cwd: null,
    outFile: null,
    errorFile: null,
    definition: null,
    problem: null,
  };
}

/** The applications; a file that can't be used is a warning, and defines none. */
export async function definedApps(
  { terminal, config }: Pick<CliContext, 'terminal' | 'config'>,
  ecosystemFile: string,
): Promise<readonly DefinedApp[]> {
  try {
    return await readEcosystem({ ...config, ecosystemFile });
  } catch (error) {
    terminal.warning(messageOf(error));
    return [];
  }
}

/** A command asks several times. */
const readers = new Map<string, EcosystemReader>();

/** @throws HoldfastError `ecosystem.unreadable`, or `ecosystem.unusable` when the file defines no applications. */
export async function readEcosystem(
  source: Source,
  readFor: 'look' | 'cluster' = 'look',
): Promise<readonly DefinedApp[]> {
  const { ecosystemFile: file, ecosystemEnv: envName, pm2Home, pm2Bin } = source;
  const key = `${readFor} ${file}`;
  const reader = readers.get(key) ?? new EcosystemReader({ file, envName, pm2Home, pm2Bin, readFor });
  readers.set(key, reader);
  const apps = await reader.read();
  if (apps.length > 0) return apps;
  throw new HoldfastError('ecosystem.unusable', `${file} defines no applications (module.exports.apps).`);
}
