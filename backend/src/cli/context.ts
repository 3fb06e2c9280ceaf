/** What every command works with: the configuration, the supervisor's API, PM2, the terminal. */
import { formatProblems } from '../config/problems.js';
import { loadConfig, type Config } from '../config/load.js';
import { HoldfastError } from '../domain/errors.js';
import { projectFolder } from '../installation.js';
import { knowSecrets } from '../lib/secrets/ofProcess.js';
import { ApiClient } from './apiClient.js';
import { Pm2Command } from './pm2Command.js';
import { supervisorAddress } from '../supervisorAddress.js';
import type { Terminal } from './terminal.js';

export interface CliContext {
  readonly config: Config;
  /** What is wrong with the configuration; `config` is then the rest of it. Nothing may be started with that. */
  readonly mistakes: HoldfastError | null;
  readonly terminal: Terminal;
  readonly api: ApiClient;
  readonly pm2: Pm2Command;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * @param toleratesMistakes as the command says.
 * @throws HoldfastError `config.invalid` listing every problem of the configuration, unless they are tolerated.
 */
export function createContext(
  env: NodeJS.ProcessEnv,
  terminal: Terminal,
  toleratesMistakes: boolean,
): CliContext {
  const loaded = loadConfig({ root: projectFolder, env });
  for (const warning of loaded.warnings) terminal.warning(warning);
  const mistakes = loaded.ok ? null : new HoldfastError('config.invalid', formatProblems(loaded.problems));
  if (mistakes !== null) {
    if (!toleratesMistakes) throw mistakes;
    terminal.warning(`${mistakes.message}\nThis command goes on without these values.`);
  }
  const config = loaded.ok ? loaded.config : loaded.remains;
  knowSecrets(config.secrets);
  // For the ecosystem file, which does not read config.yml, and is evaluated by this process and by PM2's, in other folders.
  env['HA_ECOSYSTEM_ENV'] = config.ecosystemEnv;
  env['HA_ROOT'] = config.root;
  return {
    config,
    mistakes,
    terminal,
    env,
    api: new ApiClient(supervisorAddress(config)),
    pm2: new Pm2Command({ root: config.root, home: config.pm2Home, bin: config.pm2Bin, env }),
  };
}

/** For a step that starts something. @throws HoldfastError `config.invalid`. */
export function requireSoundConfig({ mistakes }: CliContext): void {
  if (mistakes !== null) throw mistakes;
}

/** The same configuration with another ecosystem file. */
export function withEcosystem(context: CliContext, ecosystemFile: string): CliContext {
  return { ...context, config: { ...context.config, ecosystemFile } };
}
