/**
 * Loads an ecosystem file, every time anew: a deploy may have changed it, or a file it requires.
 *
 * It is evaluated in this process, as PM2's command line does it: it sees this process's environment, so what it
 * passes on to a service is what it passed on at the first `pm2 start`. Formats: `.js`/`.cjs` (with its local
 * requires reloaded too), `.mjs` (read again when the file itself changed), `.json`, `.yml`/`.yaml`.
 */
import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { parse as parseYaml } from 'yaml';
import { HoldfastError, messageOf } from '../../domain/errors.js';
import { resolveDefinition, type AppDefinition } from './appDefinition.js';
import { isRecord } from './processRow.js';

export interface EcosystemOptions {
  /** Path of the file. */
  readonly file: string;
  readonly pm2Home: string;
  /** `production` for `--env production`. Default none. */
  readonly envName?: string;
}

/**
 * Every application of the file.
 * Rejects with `ecosystem.unreadable` (not there, throws, cannot be parsed) or `ecosystem.invalid` (an application
 * with a wrong key).
 */
export async function loadEcosystem(options: EcosystemOptions): Promise<readonly AppDefinition[]> {
  const file = resolve(options.file);
  let content: unknown;
  try {
    content = await evaluate(file);
  } catch (error) {
    throw new HoldfastError('ecosystem.unreadable', `Cannot load ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const apps = isRecord(content) ? (content['apps'] ?? content['pm2'] ?? content) : content;
  const context = { folder: dirname(file), pm2Home: options.pm2Home, envName: options.envName ?? null };
  return (Array.isArray(apps) ? apps : [apps]).map((app: unknown) => resolveDefinition(app, context));
}

async function evaluate(file: string): Promise<unknown> {
  switch (extname(file)) {
    case '.json':
      // PM2 evaluates it as an expression, so that comments are allowed.
      return runInNewContext(`(${await readFile(file, 'utf8')}\n)`, {}, { filename: file, timeout: 1_000 });
    case '.yml':
    case '.yaml':
      return parseYaml(await readFile(file, 'utf8')) as unknown;
    case '.mjs': {
      const { mtimeMs } = await stat(file);
      const module = (await import(`${pathToFileURL(file).href}?modified=${mtimeMs}`)) as {
        default: unknown;
      };
      return module.default;
    }
    default:
      return requireAfresh(file);
  }
}

function requireAfresh(file: string): unknown {
  const require = createRequire(file);
  for (const path of Object.keys(require.cache)) {
    if (!path.includes(`${sep}node_modules${sep}`)) delete require.cache[path];
  }
  return require(file) as unknown;
}
