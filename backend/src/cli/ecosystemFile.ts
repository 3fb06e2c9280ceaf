/** The applications an ecosystem file defines, as far as starting and stopping them needs. */
import { createRequire } from 'node:module';
import { HoldfastError, messageOf } from '../domain/errors.js';
import type { CliContext } from './context.js';

export const SUPERVISOR_NAME = 'ha-supervisor';
export const GATEWAY_NAME = 'ha-gateway';

export interface DefinedApp {
  readonly name: string;
  readonly instances: number;
  /** First port of its instances; null where it listens on none that the file knows. */
  readonly port: number | null;
  /** As it is written there; null where it is none. */
  readonly script: string | null;
  readonly cwd: string | null;
  /** Where the file says the port. */
  readonly portFrom: 'port' | 'env.PORT' | null;
  readonly outFile: string | null;
  readonly errorFile: string | null;
}

/** Whether it is one of those that Holdfast looks after, not one of Holdfast's own. */
export function isService({ name }: Pick<DefinedApp, 'name'>): boolean {
  return name !== SUPERVISOR_NAME && name !== GATEWAY_NAME;
}

/** Names of the applications; a file that can't be used is a warning, and defines none. */
export function definedNames({ terminal }: Pick<CliContext, 'terminal'>, file: string): readonly string[] {
  try {
    return readEcosystem(file).map(({ name }) => name);
  } catch (error) {
    terminal.warning(messageOf(error));
    return [];
  }
}

/** @throws HoldfastError `ecosystem.unusable` with the file's own complaint. */
export function readEcosystem(file: string): readonly DefinedApp[] {
  let exported: unknown;
  try {
    exported = createRequire(import.meta.url)(file);
  } catch (error) {
    throw new HoldfastError('ecosystem.unusable', `${file} cannot be used: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const apps = (exported as { apps?: unknown }).apps;
  if (!Array.isArray(apps) || apps.length === 0) {
    throw new HoldfastError('ecosystem.unusable', `${file} defines no applications (module.exports.apps).`);
  }
  return apps.map((app: Record<string, unknown>) => {
    if (typeof app['name'] !== 'string') {
      throw new HoldfastError('ecosystem.unusable', `${file} defines an application without a name.`);
    }
    const env = (app['env'] ?? {}) as Record<string, unknown>;
    const port = Number(app['port'] ?? env['PORT']);
    const hasPort = Number.isInteger(port) && port > 0;
    const textOf = (key: string): string | null => (typeof app[key] === 'string' ? app[key] : null);
    return {
      name: app['name'],
      instances: Number(app['instances'] ?? 1),
      port: hasPort ? port : null,
      portFrom: !hasPort ? null : app['port'] === undefined ? 'env.PORT' : 'port',
      script: textOf('script'),
      cwd: textOf('cwd'),
      outFile: textOf('out_file'),
      errorFile: textOf('error_file'),
    };
  });
}
