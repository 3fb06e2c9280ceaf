/**
 * New dependencies and a new build, without a moment in which a running service could not start again.
 *
 * `npm ci` deletes node_modules first, and for the minute it then takes nothing that PM2 restarts comes up. So the
 * dependencies are installed beside (run/install) and the folders exchanged; what was there stays in run/previous
 * until the next installation. The build does the same with dist (scripts/build.mjs).
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isFileError, plainReason } from '../adapters/files/writable.js';
import { HoldfastError, messageOf } from '../domain/errors.js';
import { packageFolder } from '../installation.js';
import { PRIVATE_FOLDER, writeOwn } from '../lib/ownFiles.js';

const INSTALL_TIMEOUT_MS = 600_000;
const BUILD_TIMEOUT_MS = 300_000;
const OUTPUT_KEPT_CHARACTERS = 8_000;
/** In the data directory: each deployment of this build has its own. */
const DEPLOYED_FILE = 'deployed-build';
/** Where it lay before; read where the new one is not there yet. */
const FORMER_DEPLOYED_FILE = 'run/deployed-build';

/** Where a build lies, and where it is written down what runs. */
export interface Place {
  /** Of the clone or the package. */
  readonly root: string;
  readonly dataDir: string;
}

/** Of this Holdfast. */
export const placeOf = ({ dataDir }: Pick<Place, 'dataDir'>): Place => ({ root: packageFolder, dataDir });

interface LockFile {
  readonly packages?: Readonly<Record<string, { readonly version?: string; readonly optional?: boolean }>>;
}

interface Manifest {
  /** Folders of packages that are installed together with this one; no patterns. */
  readonly workspaces?: readonly string[];
}

/** Whether node_modules holds what package-lock.json asks for, judged by npm's own record inside it. */
export async function isInstalled(root: string): Promise<boolean> {
  const wanted = await readLock(join(root, 'package-lock.json'));
  const present = await readLock(join(root, 'node_modules/.package-lock.json'));
  if (wanted === null || present === null) return false;
  return Object.entries(wanted.packages ?? {}).every(([path, { version, optional }]) => {
    const installed = present.packages?.[path];
    return path === '' || (installed === undefined ? optional === true : installed.version === version);
  });
}

async function readLock(file: string): Promise<LockFile | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as LockFile;
  } catch {
    return null;
  }
}

/** Installs what package-lock.json asks for and exchanges node_modules. @throws HoldfastError `deploy.install-failed`. */
export async function install(root: string): Promise<void> {
  const staging = join(root, 'run/install');
  try {
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { recursive: true });
    const { workspaces = [] } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
    const manifests = workspaces.map((folder) => `${folder}/package.json`);
    for (const name of ['package.json', 'package-lock.json', '.npmrc', ...manifests]) {
      if (existsSync(join(root, name))) await cp(join(root, name), join(staging, name));
    }
    await runStep('npm', ['ci', '--include=dev'], staging, INSTALL_TIMEOUT_MS);
    await exchangeModules(root, join(staging, 'node_modules'));
  } catch (error) {
    throw new HoldfastError(
      'deploy.install-failed',
      `Dependencies were not installed; those before are untouched. ${explain(error)}`,
      { cause: error },
    );
  } finally {
    await rm(staging, { recursive: true, force: true }).catch(() => undefined);
  }
}

function explain(error: unknown): string {
  if (!isFileError(error)) return messageOf(error);
  return `${error.path} cannot be written: ${plainReason(error)}. Run this as the owner of the project's folder.`;
}

/** Brings back the dependencies from before the last `install`. */
export async function revertInstall(root: string): Promise<void> {
  await exchangeModules(root, join(root, 'run/previous/node_modules'));
}

async function exchangeModules(root: string, next: string): Promise<void> {
  const current = join(root, 'node_modules');
  const previous = join(root, 'run/previous/node_modules');
  const aside = join(root, 'run/node_modules.aside');
  await rm(aside, { recursive: true, force: true });
  if (existsSync(current)) await rename(current, aside);
  try {
    await rename(next, current);
  } catch (error) {
    await rename(aside, current);
    throw error;
  }
  await rm(previous, { recursive: true, force: true });
  await mkdir(join(root, 'run/previous'), { recursive: true });
  if (existsSync(aside)) await rename(aside, previous);
}

/** @throws HoldfastError `deploy.build-failed` with the compiler's complaint. */
export async function build(root: string): Promise<void> {
  try {
    await runStep(process.execPath, ['scripts/build.mjs', '--retry', '--quiet'], root, BUILD_TIMEOUT_MS);
  } catch (error) {
    throw new HoldfastError('deploy.build-failed', messageOf(error), { cause: error });
  }
}

/** Brings back the build from before. */
export async function revertBuild(root: string): Promise<void> {
  await runStep(process.execPath, ['scripts/build.mjs', '--rollback', '--quiet'], root, BUILD_TIMEOUT_MS);
}

/** Which builds there are, by fingerprint; null: none, or one not made by scripts/build.mjs. */
export interface Builds {
  /** In dist: what the next start runs. */
  readonly current: string | null;
  /** In dist.previous: what can be gone back to. */
  readonly previous: string | null;
  /** What the services were last started or rolled with. */
  readonly deployed: string | null;
}

export async function readBuilds({ root, dataDir }: Place): Promise<Builds> {
  const read = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(() => null);
  const [current, previous, deployed, former] = await Promise.all([
    read(join(root, 'backend/dist/.fingerprint')),
    read(join(root, 'backend/dist.previous/.fingerprint')),
    read(join(dataDir, DEPLOYED_FILE)),
    read(join(root, FORMER_DEPLOYED_FILE)),
  ]);
  return { current, previous, deployed: deployed ?? former };
}

/** Notes that the services run the current build. */
export async function markDeployed(place: Place): Promise<void> {
  const { current } = await readBuilds(place);
  await mkdir(place.dataDir, { recursive: true, mode: PRIVATE_FOLDER });
  await writeOwn(join(place.dataDir, DEPLOYED_FILE), current ?? '');
}

/** Whole lines, where it must be cut: half a secret may have no shape. */
function lastPart(output: string): string {
  if (output.length <= OUTPUT_KEPT_CHARACTERS) return output;
  const kept = output.slice(-OUTPUT_KEPT_CHARACTERS);
  return kept.slice(kept.indexOf('\n') + 1);
}

/** Runs a program to its end; what it printed is in the error when it fails. */
function runStep(program: string, args: readonly string[], cwd: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output = lastPart(output + chunk.toString('utf8'));
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) return resolve();
      const ended = signal === null ? `exited with ${code}` : `was ended by ${signal}`;
      return reject(new Error(`\`${[program, ...args].join(' ')}\` ${ended}.\n${output.trim()}`));
    });
  });
}
