/** Where the log lines of a service are: PM2's files of its instances, and for Holdfast's own processes their log, too. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HoldfastError } from '../domain/errors.js';
import type { CliContext } from './context.js';
import {
  GATEWAY_NAME,
  readEcosystem,
  SUPERVISOR_NAME,
  undefinedApp,
  type DefinedApp,
} from './ecosystemFile.js';
import { separate, supervised } from './ownApps.js';
import type { Pm2App } from './pm2Command.js';
import { meant } from './services.js';

export interface LogSource {
  readonly path: string;
  readonly stream: 'log' | 'out' | 'err';
  /** PM2's number, where the file is that of one instance. */
  readonly pmId: number | null;
}

/** @throws HoldfastError `service.unknown` when neither PM2 nor the ecosystem file knows the name. */
export async function logSources(context: CliContext, name: string): Promise<readonly LogSource[]> {
  const { config } = context;
  const rows = await context.pm2.list();
  const defined = await definedApps(context);
  const own = name === SUPERVISOR_NAME || name === GATEWAY_NAME;
  const known = [...new Set([...rows, ...defined].map((app) => app.name))];
  if (!own && !known.includes(name)) {
    const list = known.length === 0 ? 'PM2 runs nothing.' : `There are: ${known.join(', ')}.`;
    throw new HoldfastError('service.unknown', `There is no service "${name}".${meant(name, known)} ${list}`);
  }
  const definition = defined.find((app) => app.name === name);
  const { own: instances } = await separate(
    rows,
    [definition ?? undefinedApp(name)],
    await supervised(context),
  );
  const listed = instances.flatMap(sourcesOfRow);
  const files =
    listed.length > 0
      ? listed
      : definition === undefined
        ? []
        : await sourcesOfDefinition(context, definition);
  const log: readonly LogSource[] = own
    ? [{ path: join(config.logDir, `${name}.log`), stream: 'log', pmId: null }]
    : [];
  return withoutRepeats([...log, ...files]);
}

/** Files of instances that came since: those beside `sources` whose names differ in PM2's number only. */
export async function newSources(sources: readonly LogSource[]): Promise<readonly LogSource[]> {
  const found: LogSource[] = [];
  for (const { path, stream, pmId } of sources) {
    if (pmId === null) continue;
    const [before = '', after = ''] = basename(path).split(`-${pmId}.`);
    const names = await readdir(dirname(path)).catch(() => []);
    for (const name of names) {
      const number = name.startsWith(`${before}-`) ? /-(\d+)\.([^-]+)$/.exec(name) : null;
      if (number?.[2] !== after || `${before}-${number[1]}.${after}` !== name) continue;
      found.push({ path: join(dirname(path), name), stream, pmId: Number(number[1]) });
    }
  }
  const known = new Set(sources.map(({ path }) => path));
  return withoutRepeats(found).filter(({ path }) => !known.has(path));
}

/** "out", or "err #3" where each instance has its own file. */
export function labelOf({ stream, pmId }: LogSource): string {
  return pmId === null ? stream : `${stream} #${pmId}`;
}

async function definedApps({ config }: CliContext): Promise<readonly DefinedApp[]> {
  try {
    return await readEcosystem(config);
  } catch {
    // PM2's list may still know the service.
    return [];
  }
}

function sourcesOfRow({ pmId, outFile, errorFile }: Pm2App): LogSource[] {
  const source = (path: string | null, stream: 'out' | 'err'): LogSource[] => {
    if (path === null || path.startsWith('/dev/')) return [];
    return [{ path, stream, pmId: path.endsWith(`-${pmId}.log`) ? pmId : null }];
  };
  return [...source(outFile, 'out'), ...source(errorFile, 'err')];
}

/** Of one that PM2 does not list now: the files of the ecosystem file, else those of PM2's own names. */
async function sourcesOfDefinition({ config }: CliContext, app: DefinedApp): Promise<LogSource[]> {
  if (app.outFile !== null || app.errorFile !== null) {
    return [
      ...(app.outFile === null ? [] : [{ path: app.outFile, stream: 'out' as const, pmId: null }]),
      ...(app.errorFile === null ? [] : [{ path: app.errorFile, stream: 'err' as const, pmId: null }]),
    ];
  }
  const folder = join(config.pm2Home, 'logs');
  const prefix = app.name.replace(/[^a-zA-Z0-9.-]/g, '-');
  const names = await readdir(folder).catch(() => []);
  return names.flatMap((name): LogSource[] => {
    if (!name.startsWith(`${prefix}-`)) return [];
    const [, stream, pmId] = /^(out|error)(?:-(\d+))?\.log$/.exec(name.slice(prefix.length + 1)) ?? [];
    if (stream === undefined) return [];
    const path = join(folder, name);
    return [
      { path, stream: stream === 'out' ? 'out' : 'err', pmId: pmId === undefined ? null : Number(pmId) },
    ];
  });
}

function withoutRepeats(sources: readonly LogSource[]): LogSource[] {
  return [...new Map(sources.map((source) => [source.path, source])).values()];
}
