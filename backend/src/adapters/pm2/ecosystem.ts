/**
 * Reads an ecosystem file: the one way to do so, for the supervisor, the gateway and every command.
 *
 * PM2's own code does it, in a process of its own (`resolveApps.cjs`), so that whatever PM2 reads is read, and resolved to
 * what PM2 would start. The file sees the environment of this process, without what PM2 put there for it.
 */
import { spawn } from 'node:child_process';
import { readFileSync, realpathSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HoldfastError, messageOf } from '../../domain/errors.js';
import { DiskHangs, inFolder } from '../files/inFolder.js';
import { definitionOfRecord, type DefinedApp } from './appDefinition.js';
import { baseEnvironment } from './launch.js';
import { isRecord } from './processRow.js';

export interface EcosystemOptions {
  /** Path of the file, as the user gave it: a symbolic link in it is followed at each reading. */
  readonly file: string;
  readonly pm2Home: string;
  /** `production` for `--env production`. Default none. */
  readonly envName?: string;
  /** The configured pm2 command, whose code is then used. Default: the one this package depends on. */
  readonly pm2Bin?: string | null;
  /** What for, which decides what becomes of secrets (backend/startedWith.cjs). Default: a look. */
  readonly readFor?: 'start' | 'look' | 'cluster';
}

const resolver = fileURLToPath(new URL('../../../resolveApps.cjs', import.meta.url));
/** It takes 0.2 s. A file that does more than define applications may take longer. */
const TIMEOUT_MS = 20_000;
const STDERR_KEPT = 4_000;
/** How long the disk of a file may take before it is given up. */
const DISK_PATIENCE_MS = 3_000;

/** What PM2 sets for a process that it runs: not for the file, nor for another `pm2`. */
export const SET_BY_PM2 =
  /^(pm_|axm_|pm2_env$|PM2_(?!HOME$|BIN$)|NODE_APP_INSTANCE$|HOLDFAST_INSTANCE$|PORT$|name$|namespace$|status$)/;

/**
 * Every application of the file, as the file is now.
 * Rejects with `ecosystem.unreadable` (not there, throws, cannot be parsed, does not end).
 */
export async function loadEcosystem(options: EcosystemOptions): Promise<readonly DefinedApp[]> {
  return (await load(options)).apps;
}

interface Reading {
  readonly apps: readonly DefinedApp[];
  /** Files that went into it, each with its state. */
  readonly inputs: Readonly<Record<string, string | null>>;
  /** Whether nothing else did. */
  readonly isComplete: boolean;
}

/** The same file again and again: evaluated when something that went into it has changed, or on request. */
export class EcosystemReader {
  readonly #options: EcosystemOptions;
  #last: Reading | null = null;
  #running: Promise<Reading> | null = null;
  #next: Promise<Reading> | null = null;

  constructor(options: EcosystemOptions) {
    this.#options = options;
  }

  /** Rejects as `loadEcosystem`. */
  async read(): Promise<readonly DefinedApp[]> {
    if (this.#last !== null && (await isReusable(this.#last))) return this.#last.apps;
    return this.readAnew();
  }

  /** Whether a file that went into the last reading is another one by now. */
  async hasChanged(): Promise<boolean> {
    return this.#last === null || !(await isUnchanged(this.#last));
  }

  /** Evaluates it after this call, whatever has changed. One evaluation at a time: the next one answers all who wait. */
  async readAnew(): Promise<readonly DefinedApp[]> {
    this.#next ??= (this.#running ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        this.#running = this.#next;
        this.#next = null;
        return load(this.#options);
      });
    const reading = await this.#next;
    this.#last = reading;
    return reading.apps;
  }
}

async function isReusable(reading: Reading): Promise<boolean> {
  // An application that PM2 refused may be usable by now: its script may have been built, its user made.
  const isUsable = reading.isComplete && reading.apps.every(({ problem }) => problem === null);
  return isUsable && isUnchanged(reading);
}

/** Rejects with `ecosystem.unreadable` where a disk does not answer: evaluating the file would wait for it, too. */
async function isUnchanged({ inputs }: Reading): Promise<boolean> {
  for (const [file, state] of Object.entries(inputs)) if ((await fileState(file)) !== state) return false;
  return true;
}

/** As `stateOf` in resolveApps.cjs. One that can't be looked at has changed: reading it anew says what is wrong. */
async function fileState(file: string): Promise<string | null> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await look(file);
    return [dev, ino, size, mtimeMs, ctimeMs].join(':');
  } catch (error) {
    if (error instanceof DiskHangs) throw unreadable(file, messageOf(error));
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : messageOf(error);
  }
}

const look = (file: string): Promise<Stats> => inFolder(dirname(file), DISK_PATIENCE_MS, () => stat(file));

function unreadable(file: string, problem: string): HoldfastError {
  return new HoldfastError('ecosystem.unreadable', `Cannot load ${file}: ${problem}`);
}

async function load(options: EcosystemOptions): Promise<Reading> {
  const file = resolve(options.file);
  const fail = (problem: string): never => {
    throw unreadable(file, problem);
  };
  const status = await look(file).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? null : fail(messageOf(error)),
  );
  if (status?.isFile() !== true) return fail('there is no such file.');
  const answer = await ask(file, options).catch((error: unknown) => fail(String((error as Error).message)));
  if (typeof answer['problem'] === 'string') return fail(answer['problem']);
  if (!Array.isArray(answer['apps'])) return fail('PM2 gave no applications.');
  const inputs = (isRecord(answer['inputs']) ? answer['inputs'] : {}) as Reading['inputs'];
  const apps = answer['apps'].filter(isRecord).map((app, index) => appOf(app, index, dirname(file)));
  return { apps, inputs, isComplete: answer['isComplete'] === true };
}

function appOf(answer: Readonly<Record<string, unknown>>, index: number, folder: string): DefinedApp {
  const { record, problem } = answer;
  const textOf = (key: string): string | null => (typeof answer[key] === 'string' ? answer[key] : null);
  const numberOf = (key: string): number | null => (typeof answer[key] === 'number' ? answer[key] : null);
  const definition = isRecord(record) ? definitionOfRecord(record) : null;
  const { portFrom } = answer;
  const fileOf = (key: 'outFile' | 'errorFile'): string | null => {
    const written = textOf(key);
    return written === null ? null : (definition?.[key] ?? resolve(folder, written));
  };
  return {
    name: textOf('name') ?? `application ${index + 1} of the file`,
    instances: definition?.instances ?? numberOf('instances') ?? 1,
    port: definition?.port ?? numberOf('port'),
    portFrom: portFrom === 'port' || portFrom === 'env.PORT' ? portFrom : null,
    portVariable: textOf('portVariable'),
    page: textOf('page'),
    label: textOf('label'),
    script: textOf('script'),
    cwd: textOf('cwd'),
    outFile: fileOf('outFile'),
    errorFile: fileOf('errorFile'),
    definition,
    problem: definition === null ? String(problem ?? 'PM2 makes nothing of it that could be started') : null,
  };
}

/** Runs PM2's code once. Rejects with what it said when it gives no answer. */
function ask(file: string, options: EcosystemOptions): Promise<Readonly<Record<string, unknown>>> {
  const request = JSON.stringify({
    file,
    envName: options.envName ?? null,
    pm2: pm2Folder(options.pm2Bin ?? null),
    pm2Home: options.pm2Home,
    base: baseEnvironment(),
    readFor: options.readFor ?? 'look',
  });
  const inherited = Object.entries(process.env).filter(([name]) => !SET_BY_PM2.test(name));
  const env = {
    ...Object.fromEntries(inherited),
    PATH: baseEnvironment()['PATH'],
    PM2_HOME: options.pm2Home,
    // By this the supervisor and the gateway that the file defines find it again.
    HA_ECOSYSTEM_FILE: file,
  };
  // The file sees the words that this program was called with.
  const child = spawn(process.execPath, [resolver, request, ...process.argv.slice(2)], {
    cwd: dirname(file),
    env,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  return new Promise((done, fail) => {
    const answer: Buffer[] = [];
    let said = '';
    const timer = setTimeout(() => {
      // Not when it has ended: one that waits for a disk may not be able to.
      fail(new Error(`it was not evaluated within ${TIMEOUT_MS / 1_000} s`));
      child.kill('SIGKILL');
    }, TIMEOUT_MS);
    child.stdio[3]?.on('data', (bytes: Buffer) => answer.push(bytes));
    child.stderr?.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString()).slice(-STDERR_KEPT);
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      fail(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      try {
        done(JSON.parse(Buffer.concat(answer).toString()) as Readonly<Record<string, unknown>>);
      } catch {
        fail(new Error(`its evaluation ended with ${signal ?? `code ${code}`}. ${said.trim()}`));
      }
    });
  });
}

/** Where the code of the configured PM2 is. A command that is no PM2 package, such as a shim, leaves the own one. */
function pm2Folder(pm2Bin: string | null): string {
  for (let folder = pm2Bin === null ? '/' : realpathOf(pm2Bin); folder !== dirname(folder);) {
    folder = dirname(folder);
    if (isPm2(folder)) return folder;
  }
  return dirname(createRequire(import.meta.url).resolve('pm2/package.json'));
}

function isPm2(folder: string): boolean {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown };
    return name === 'pm2';
  } catch {
    return false;
  }
}

function realpathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
