/** Waiting for a deployment: what `up`, `start-ha` and `deploy` share. */
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { HoldfastError, messageOf } from '../domain/errors.js';
import type { CliContext } from './context.js';
import { readEcosystem, SUPERVISOR_NAME } from './ecosystemFile.js';

const POLL_MS = 250;
/** PM2's list costs a process: every two seconds is enough. */
const ROUNDS_A_LOOK = 8;
/** A process that PM2 restarted this often within the wait will not come up. */
const HOPELESS_RESTARTS = 3;
const LOG_TAIL_LINES = 15;
const LOG_TAIL_BYTES = 16_384;

/** Waits until the API answers. @throws HoldfastError `supervisor.not-starting` with the end of its error log. */
export async function awaitSupervisor(context: CliContext, timeoutMs: number): Promise<void> {
  const { url } = context.api;
  const waited = new AwaitedProcess(context, SUPERVISOR_NAME);
  const problem = await waited.until(
    () => context.api.isUp(),
    timeoutMs,
    `waiting for the supervisor at ${url}`,
  );
  if (problem === null) return;
  throw new HoldfastError(
    'supervisor.not-starting',
    `The supervisor ${problem} (${url}).\n${await waited.lastWords()}`,
  );
}

/** One of Holdfast's own processes under PM2, which is waited for: PM2's list tells early when that is in vain. */
export class AwaitedProcess {
  readonly #context: CliContext;
  readonly #name: string;

  constructor(context: CliContext, name: string) {
    this.#context = context;
    this.#name = name;
  }

  /** @returns null as soon as `isThere`; else why not: "has left", "exits again and again", "does not serve within 60 s". */
  async until(isThere: () => Promise<boolean>, timeoutMs: number, progress: string): Promise<string | null> {
    const deadline = performance.now() + timeoutMs;
    let restartsBefore: number | null = null;
    for (let round = 0; ; round += 1) {
      if (await isThere()) return null;
      const row = round % ROUNDS_A_LOOK === ROUNDS_A_LOOK - 1 ? await this.#row() : undefined;
      // "stopped" is what PM2 makes of an exit that says that restarting won't help.
      if (row?.status === 'stopped') return 'has left';
      restartsBefore ??= row?.restarts ?? null;
      const restarts = row === undefined ? 0 : row.restarts - (restartsBefore ?? 0);
      if (row?.status === 'errored' || restarts >= HOPELESS_RESTARTS) return 'exits again and again';
      if (performance.now() > deadline) return `does not serve within ${timeoutMs / 1_000} s`;
      this.#context.terminal.progress(progress);
      await pause(POLL_MS);
    }
  }

  /** The end of what it wrote on stderr, or where to look. */
  async lastWords(): Promise<string> {
    const { config } = this.#context;
    const definition = (await readEcosystem(config)).find(({ name }) => name === this.#name);
    const file = definition?.errorFile ?? null;
    const tail = file === null ? '' : await tailOf(file);
    if (tail === '') return `Look into ${config.logDir}/${this.#name}.log and \`pm2 logs ${this.#name}\`.`;
    return `The end of ${file ?? ''}:\n\n${tail}`;
  }

  async #row() {
    return (await this.#context.pm2.list()).find(({ name }) => name === this.#name);
  }
}

async function tailOf(file: string): Promise<string> {
  if (!existsSync(file)) return '';
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, LOG_TAIL_BYTES);
      const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    } finally {
      await handle.close();
    }
  } catch (error) {
    return `(${messageOf(error)})`;
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
