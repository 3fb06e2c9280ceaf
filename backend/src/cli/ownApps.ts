/**
 * Which processes in PM2's list are those of an ecosystem file. PM2 may list other applications of the same names
 * (adapters/pm2/identity.ts): those are neither started, stopped nor counted.
 */
import { applicationOfDefinition, ServiceIdentity } from '../adapters/pm2/identity.js';
import type { StatusView } from '../domain/views/controlPlane.js';
import type { CliContext } from './context.js';
import { GATEWAY_NAME, isService, undefinedApp, type DefinedApp } from './ecosystemFile.js';
import type { Pm2App } from './pm2Command.js';

/** PM2's numbers of the instances of each service, as the supervisor knows them. */
export type Supervised = ReadonlyMap<string, ReadonlySet<number>>;

export interface Separated {
  readonly own: readonly Pm2App[];
  /** Those that only have a name of the file. */
  readonly others: readonly Pm2App[];
}

/** Empty where no supervisor answers. */
export async function supervised({ api }: Pick<CliContext, 'api'>): Promise<Supervised> {
  return api
    .get<StatusView>('/api/ha/status', { timeoutMs: 3_000 })
    .then(
      ({ data }) =>
        new Map(
          data.services.map(({ name, instances }) => [name, new Set(instances.map(({ pmId }) => pmId))]),
        ),
    )
    .catch(() => new Map());
}

/**
 * Of all that PM2 lists.
 * @param apps may have several of one name, in namespaces of their own.
 */
export async function separate(
  listed: readonly Pm2App[],
  apps: readonly DefinedApp[],
  known: Supervised = new Map(),
): Promise<Separated> {
  const own = new Set((await Promise.all(apps.map((app) => rowsOf(app, listed, known)))).flat());
  const names = new Set(apps.map(({ name }) => name));
  return {
    own: listed.filter((row) => own.has(row)),
    others: listed.filter((row) => names.has(row.name) && !own.has(row)),
  };
}

async function rowsOf(
  app: DefinedApp,
  listed: readonly Pm2App[],
  known: Supervised,
): Promise<readonly Pm2App[]> {
  const named = listed.filter(({ name }) => name === app.name);
  if (!isService(app)) return named;
  const { definition } = app;
  const identity = new ServiceIdentity({
    ownerOf: () => (definition === null ? null : applicationOfDefinition(definition)),
    isKnown: (name, pmId) => known.get(name)?.has(pmId) === true,
  });
  const strangers = await identity.strangers(named);
  return named.filter(({ pmId }) => !strangers.has(pmId));
}

/** Of those applications and the gateway, which have a process. */
export async function runningNames(
  context: Pick<CliContext, 'api' | 'pm2'>,
  apps: readonly DefinedApp[],
): Promise<ReadonlySet<string>> {
  const asked = [...apps, undefinedApp(GATEWAY_NAME)];
  const { own } = await separate(await context.pm2.list(), asked, await supervised(context));
  return new Set(own.filter(({ pid }) => pid !== null).map(({ name }) => name));
}

/** "web (pm 3, namespace admin, /srv/admin.js)" */
export function describeOther({ name, pmId, application: { namespace, script } }: Pm2App): string {
  return `${name} (pm ${pmId}, namespace ${namespace ?? 'unknown'}, ${script})`;
}
