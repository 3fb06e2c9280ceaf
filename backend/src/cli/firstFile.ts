/** What to do in a project that has no ecosystem file yet: as a rule, the first minute with an installed package. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../domain/errors.js';
import { isPackage } from '../installation.js';
import type { CliContext } from './context.js';
import { holdfast } from './invocation.js';

/**
 * For a command that starts something.
 * @throws HoldfastError `ecosystem.unreadable` with a file to begin with. A file that a setting names, and the files of a
 *   clone, are missed where they are read.
 */
export function requireEcosystemFile(context: CliContext): void {
  const { mentions, ecosystemFile, root } = context.config;
  const isNamed = mentions.some(({ key }) => key === 'haEcosystemFile');
  if (!isPackage || isNamed || existsSync(ecosystemFile)) return;
  // In a project of ES modules, a file in CommonJS is called .cjs.
  const file = join(root, `ecosystem.config.${isModuleProject(root) ? 'cjs' : 'js'}`);
  throw new HoldfastError(
    'ecosystem.unreadable',
    `${root} has no ecosystem file, so there is nothing to start. Write one, ${file}:

const { defineGateway, defineSupervisor, withAgent } = require('holdfast/ecosystem');

module.exports = {
  apps: [
    defineSupervisor({ file: __filename }),
    defineGateway({ file: __filename }),
    withAgent({ name: 'my-api', script: 'server.js', instances: 2, port: 14000, increment_var: 'PORT', filter_env: [''] }),
  ],
};

server.js listens on process.env.PORT, and answers GET /health while it is well. Then: ${holdfast(context, 'up')}
A file in another place is named by HA_ECOSYSTEM_FILE. More: node_modules/holdfast/docs/guides/your-application.md`,
  );
}

function isModuleProject(root: string): boolean {
  try {
    const { type } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { type?: unknown };
    return type === 'module';
  } catch {
    return false;
  }
}
