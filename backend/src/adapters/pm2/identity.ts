/**
 * Which of PM2's processes are instances of a service. PM2 may list several applications of one name: in another
 * namespace, or started by hand from another script. Those are other services, and Holdfast leaves them alone.
 *
 * An instance has the service's namespace, and one of its programs: the script that the ecosystem file names, or one that an
 * instance of it ran before the file was edited. A script that lies outside of its folder, such as npm, is the same program
 * only in the same folder. Links are followed; while a disk does not answer, where they led before counts.
 */
import { basename, sep } from 'node:path';
import { RealPaths } from '../files/realPaths.js';
import type { AppDefinition } from './appDefinition.js';
import type { ProcessRow } from './processRow.js';

/** What tells applications of the same name apart. */
export interface Application {
  /** null: not known. */
  readonly namespace: string | null;
  /** Absolute paths, as PM2 has them. */
  readonly script: string;
  readonly cwd: string;
}

/** One row of PM2's list. */
export interface Listed {
  readonly name: string;
  readonly pmId: number;
  readonly application: Application;
}

export interface IdentityOptions {
  /** What the ecosystem file says of a service; null where it does not name it. */
  readonly ownerOf: (service: string) => Application | null;
  /** Whether PM2's process of that number is known to be an instance of the service, whatever it runs. */
  readonly isKnown: (service: string, pmId: number) => boolean;
}

/** Of each service; the oldest are forgotten. A deploy to another folder brings one more. */
const PROGRAMS_KEPT = 16;

export class ServiceIdentity {
  readonly #options: IdentityOptions | undefined;
  readonly #paths: RealPaths;
  /** What instances of each service were seen to be, newest last. */
  readonly #seen = new Map<string, readonly Application[]>();

  /** Without options a name is all that counts. */
  constructor(options: IdentityOptions | undefined, paths = new RealPaths()) {
    this.#options = options;
    this.#paths = paths;
  }

  /** The same rows. Those that only have a service's name are given another one, which no service can have. */
  async separate(rows: readonly ProcessRow[]): Promise<readonly ProcessRow[]> {
    const strangers = await this.strangers(
      rows.map(({ record, process: { service, pmId } }) => ({
        name: service,
        pmId,
        application: applicationOf(record),
      })),
    );
    return rows.map((row) => (strangers.has(row.process.pmId) ? asStranger(row) : row));
  }

  /** Numbers of those that only have a service's name. */
  async strangers(listed: readonly Listed[]): Promise<ReadonlySet<number>> {
    if (this.#options === undefined) return new Set();
    await this.#look(listed);
    for (const service of new Set(listed.map(({ name }) => name))) {
      this.#learn(
        service,
        listed.filter(({ name }) => name === service),
      );
    }
    const others = listed.filter(({ name, application }) => !this.owns(name, application));
    return new Set(others.map(({ pmId }) => pmId));
  }

  /** Whether a process of that name is an instance of the service, as far as is known. Links are where they were last seen to be. */
  owns(service: string, application: Application): boolean {
    if (this.#options === undefined) return true;
    const known = this.#knownOf(service);
    return known.length === 0 || known.some((one) => this.#isSame(one, application));
  }

  /** The same, with a look at where its links lead now. */
  async ownsNow(service: string, application: Application): Promise<boolean> {
    await this.#look([{ name: service, application }]);
    return this.owns(service, application);
  }

  /** Looks where paths lead, wherever one is not written as one that is known. */
  async #look(listed: readonly Pick<Listed, 'name' | 'application'>[]): Promise<void> {
    const unsure = new Set<Application>();
    for (const name of new Set(listed.map((one) => one.name))) {
      const known = this.#knownOf(name);
      const group = listed.filter((one) => one.name === name).map(({ application }) => application);
      if (group.every((one) => isEqual(one, known[0] ?? group[0] ?? one))) continue;
      for (const application of [...known, ...group]) unsure.add(application);
    }
    await this.#paths.look([...unsure].flatMap(({ script, cwd }) => [script, cwd]));
  }

  #knownOf(service: string): readonly Application[] {
    const owner = this.#options?.ownerOf(service) ?? null;
    const seen = this.#seen.get(service) ?? [];
    if (owner === null) return seen;
    return [owner, ...seen.filter((one) => isSameNamespace(one, owner))];
  }

  /** Takes notice of what the instances of a service run. */
  #learn(service: string, group: readonly Listed[]): void {
    const own = this.#ownOf(service, group).map(({ application }) => application);
    const before = this.#seen.get(service) ?? [];
    const added = own.filter((one) => !before.some((known) => isEqual(known, one)));
    if (added.length > 0) this.#seen.set(service, [...before, ...added].slice(-PROGRAMS_KEPT));
  }

  #ownOf(service: string, group: readonly Listed[]): readonly Listed[] {
    const owner = this.#options?.ownerOf(service) ?? null;
    const candidates = group.filter(
      ({ application }) => owner === null || isSameNamespace(application, owner),
    );
    const known = this.#knownOf(service);
    const own = candidates.filter(
      ({ application, pmId }) =>
        known.some((one) => this.#isSame(one, application)) || this.#options?.isKnown(service, pmId),
    );
    if (own.length > 0 || this.#seen.has(service)) return own;
    // Seen for the first time. Without a file the oldest says what the service is.
    return candidates
      .filter(({ application }) => owner === null || this.#isSameProgram(application, owner))
      .sort((a, b) => a.pmId - b.pmId)
      .slice(0, 1);
  }

  #isSame(a: Application, b: Application): boolean {
    if (!isSameNamespace(a, b) || !this.#isSamePath(a.script, b.script)) return false;
    return liesIn(a.script, a.cwd) || liesIn(b.script, b.cwd) || this.#isSamePath(a.cwd, b.cwd);
  }

  /** npm of one Node.js and of another one: the same program in the same folder, found at another place. */
  #isSameProgram(a: Application, b: Application): boolean {
    return basename(a.script) === basename(b.script) && this.#isSamePath(a.cwd, b.cwd);
  }

  #isSamePath(a: string, b: string): boolean {
    return a === b || (this.#paths.of(a) ?? a) === (this.#paths.of(b) ?? b);
  }
}

/** Of a record of PM2, or of the environment that PM2 made of one for a process. */
export function applicationOf(record: Readonly<Record<string, unknown>>): Application {
  const { namespace, pm_exec_path: script, pm_cwd: cwd, env } = record;
  // PM2 lays an application's own variables over its record: a `namespace` among them hides the real one.
  const isHidden = typeof env === 'object' && env !== null && 'namespace' in env;
  return {
    namespace: isHidden ? null : typeof namespace === 'string' ? namespace : 'default',
    script: typeof script === 'string' ? script : '',
    cwd: typeof cwd === 'string' ? cwd : '',
  };
}

export function applicationOfDefinition({ script, cwd, env, options }: AppDefinition): Application {
  return applicationOf({ ...options, pm_exec_path: script, pm_cwd: cwd, env });
}

function isSameNamespace(a: Application, b: Application): boolean {
  return a.namespace === b.namespace || a.namespace === null || b.namespace === null;
}

function isEqual(a: Application, b: Application): boolean {
  return a.namespace === b.namespace && a.script === b.script && a.cwd === b.cwd;
}

function liesIn(file: string, folder: string): boolean {
  return folder !== '' && file.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

/** Names have no line breaks: whatever looks for the service by its name does not find this one. */
function asStranger(row: ProcessRow): ProcessRow {
  const { namespace, script } = applicationOf(row.record);
  const service = `${row.process.service}\n${namespace ?? ''}\n${script}`;
  return { ...row, process: { ...row.process, service } };
}
