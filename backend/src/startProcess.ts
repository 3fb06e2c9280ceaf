/**
 * How the supervisor and the gateway start, and how they leave when they can't:
 *
 *   read the configuration ──▶ log ──▶ run ──▶ (until told to stop)
 *        │                              │
 *        │ StartProblem                 ├─ a problem that only a person can mend ──▶ 78: PM2 leaves it stopped
 *        └──────────▶ 78                ├─ one that may pass ────────────────────▶  1: PM2 starts it again
 *                                       └─ a bug, at any time ───────────────────▶  1, with its stack in the log
 *
 * Nothing is written to stdout (a process that does so dies with PM2's daemon); what people must see before there is a
 * log goes to stderr.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { awaitFolders } from './adapters/files/awaitFolders.js';
import { keepPrivate, type OwnFolder } from './adapters/files/ownFolders.js';
import { createLogger } from './adapters/logging/logger.js';
import type { ClosableLogger } from './adapters/logging/logger.js';
import { loadConfig } from './config/load.js';
import type { Config } from './config/load.js';
import { formatProblems } from './config/problems.js';
import { HoldfastError, messageOf } from './domain/errors.js';
import { knowSecrets, shownText } from './lib/secrets/ofProcess.js';
import { makeFilesPrivate } from './lib/privateUmask.js';
import { refuseSelfConnections } from './lib/selfConnection.js';

/** sysexits.h EX_CONFIG: restarting won't help. The ecosystem files list it under stop_exit_codes. */
const EXIT_NEEDS_A_PERSON = 78;

/** What goes wrong before anything runs, and what to do about it. */
export class StartProblem extends Error {
  /** It may pass by itself: another try is worth it. */
  readonly passes: boolean;

  constructor(message: string, passes = false) {
    super(message);
    this.passes = passes;
  }
}

/**
 * PM2 gives a process up that ends sixteen times in a row within a second of its start. One that is to be started again
 * until it can run stays that long.
 */
const LEAST_LIFE_S = 3;

/** What is to be closed may wait for a disk that hangs. */
export const LONGEST_END_MS = 20_000;

export interface StartOptions {
  /** As people call it; its log is `ha-<name>.log`. */
  readonly name: 'supervisor' | 'gateway';
  /** Where config.yml is looked for. */
  readonly root: string;
  /** Resolves when everything runs. Rejects when it cannot. */
  readonly run: (config: Config, logger: ClosableLogger) => Promise<void>;
}

/** Starts this process, or ends it with the code that tells PM2 what to do. Never rejects. */
export async function startProcess({ name, root, run }: StartOptions): Promise<void> {
  makeFilesPrivate();
  refuseSelfConnections();
  const config = readConfig(root);
  if (typeof config === 'string') {
    process.stderr.write(`${shownText(config)}\n`);
    process.exit(EXIT_NEEDS_A_PERSON);
  }
  knowSecrets(config.secrets);
  const folders = foldersOf(config);
  await awaitFolders(folders, { tell: (sentence) => process.stderr.write(`${sentence}\n`) });
  const { logDir, logLevel, logMaxBytes, logMaxAgeDays, logGroupRead } = config;
  const logger = createLogger({
    file: join(logDir, `ha-${name}.log`),
    level: logLevel,
    maxBytes: logMaxBytes,
    maxAgeDays: logMaxAgeDays,
    groupReads: logGroupRead,
  });
  for (const told of folders.flatMap(keepPrivate)) logger.warn(told);
  // What is in memory can't be trusted any more. What matters is on disk, and PM2 starts us again.
  const onBug = (thrown: unknown): void => {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    logger.error(`the ${name} hit a bug and restarts`, { problem: messageOf(thrown), stack });
    const end = (): never => process.exit(1);
    void logger.close().finally(end);
    setTimeout(end, LONGEST_END_MS);
  };
  process.on('uncaughtException', onBug).on('unhandledRejection', onBug);
  try {
    await run(config, logger);
  } catch (thrown) {
    logger.error(`the ${name} cannot start`, { problem: messageOf(thrown) });
    process.stderr.write(`The ${name} cannot start. ${shownText(messageOf(thrown))}\n`);
    await logger.close();
    const code = exitCodeFor(thrown);
    if (code === 1 && process.env['pm_id'] !== undefined)
      await sleep(Math.max(0, LEAST_LIFE_S - process.uptime()) * 1_000);
    process.exit(code);
  }
}

/**
 * Ends this process when it was given arguments: it takes none, so they ask for help or are a mistake, as in
 * `npm run balancer -- --help`.
 * @param command of the command line, which answers.
 */
export function answerArguments(command: string): void {
  const args = process.argv.slice(2);
  if (args.length === 0) return;
  const cli = fileURLToPath(new URL('cli.js', import.meta.url));
  process.exit(spawnSync(process.execPath, [cli, command, ...args], { stdio: 'inherit' }).status ?? 1);
}

/** 78 for what stays wrong until a person acts, 1 for what another try may get over. */
export function exitCodeFor(thrown: unknown): 1 | typeof EXIT_NEEDS_A_PERSON {
  const isRefusal = thrown instanceof HoldfastError && !thrown.retryable;
  const stays = thrown instanceof StartProblem && !thrown.passes;
  return stays || isRefusal ? EXIT_NEEDS_A_PERSON : 1;
}

function foldersOf({ dataDir, logDir, logGroupRead }: Config): readonly OwnFolder[] {
  return [
    { what: 'data folder', path: dataDir, groupReads: false },
    { what: 'log folder', path: logDir, groupReads: logGroupRead },
  ];
}

/** The configuration, or what is wrong with it, a line a problem. */
function readConfig(root: string): Config | string {
  const result = loadConfig({ root, env: process.env });
  for (const warning of result.warnings) process.stderr.write(`${shownText(warning)}\n`);
  return result.ok ? result.config : formatProblems(result.problems);
}
