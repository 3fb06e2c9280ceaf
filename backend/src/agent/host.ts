/**
 * The agent's part on the main thread: starts the agent thread, the heartbeat and the watch over requests, and stays out
 * of the application's way.
 *
 * The thread starts with the first heartbeat: before, while the application is being loaded, it would take the processor
 * from it for some 30 ms, and no hang is judged then anyway. It is not referenced: it neither keeps the process alive nor
 * delays its end. It gets no output, no options and an empty environment. When it ends by itself (out of its small memory,
 * say) another one is started after a growing pause, a few times; the shared memory stays, so its counts go on.
 */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { startBeat } from './beat.js';
import { nowMs } from './clock.js';
import { installBreadcrumbs } from './hang/breadcrumbs.js';
import { startHeapProfiling } from './hang/heapProfiling.js';
import { DEFAULTS } from './limits.js';
import { add, DELAYS, read, settingsOf, SLOT, sharedMemory, type SharedMemory } from './memory.js';
import { ListenerWatch } from './listeners.js';
import type { Attachment, Listening, Stopping } from './protocol.js';
import { RequestWatch } from './requests.js';
import { installGracefulStop } from './stop/index.js';

/** What the thread is given. */
export interface ThreadData {
  readonly buffer: SharedArrayBuffer;
  readonly socketPath: string;
  /** When the preload ran, by clock.ts. */
  readonly startedAtMs: number;
  /** The same, wall clock. */
  readonly startedAtWallMs: number;
}

const { setTimeout } = globalThis;

const MOST_THREADS = 5;
const FIRST_PAUSE_MS = 1_000;
/**
 * The thread's own heap, MB. It has little to remember and uses a few; but to take a stack it hears of every script of the
 * application, each with its source map where that is inline (60 MB in one line were survived), and a thread that runs out
 * of memory while it has a session with the main thread takes the process with it.
 */
const LIMITS = { maxOldGenerationSizeMb: 320, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 };

export function startHost(socketPath: string): void {
  const memory = sharedMemory();
  const { numbers } = memory;
  numbers[SLOT.hangTimeoutMs] = DEFAULTS.hangTimeoutMs;
  numbers[SLOT.intervalMs] = DEFAULTS.intervalMs;
  numbers[SLOT.killTimeoutMs] = DEFAULTS.killTimeoutMs;
  const thread = new AgentThread(memory, {
    buffer: memory.buffer,
    socketPath,
    startedAtMs: nowMs(),
    startedAtWallMs: Date.now(),
  });
  new ListenerWatch(
    (listening) => thread.listens(listening),
    () => add(numbers, SLOT.dropped, 1),
  ).start();
  const requests = new RequestWatch(memory);
  requests.start();
  startBeat(memory, requests, () => thread.start());
  installBreadcrumbs(memory.breadcrumbs);
  installGracefulStop({
    settings: () => settingsOf(memory),
    servers: () => requests.servers(),
    responses: () => requests.responses(),
    heardAfterMs: () => heardAfterMs(memory),
    announce: (message) => thread.announce(message),
  });
  startHeapProfiling({
    heapUsedBytes: () => read(numbers, SLOT.heapUsedBytes),
    heapLimitBytes: () => read(numbers, SLOT.heapLimitBytes),
    debugged: () => read(numbers, SLOT.debugged) === 1,
    isHeard: () => read(numbers, SLOT.heard) === 1,
    announce: (message) => thread.announce(message),
    failed: () => add(numbers, SLOT.dropped, 1),
  });
}

/** From the heartbeat before the last one: after a busy time timers run first, and all else is heard then. */
function heardAfterMs({ numbers, delays }: SharedMemory): number {
  const beats = read(numbers, SLOT.beats);
  if (beats === 0) return 0;
  return Math.max(0, nowMs() - read(numbers, SLOT.beatAtMs)) + read(delays, (beats - 1) % DELAYS);
}

class AgentThread {
  readonly #memory: SharedMemory;
  readonly #data: ThreadData;
  #worker: Worker | null = null;
  #started = 0;
  #listening: Listening | null = null;

  constructor(memory: SharedMemory, data: ThreadData) {
    this.#memory = memory;
    this.#data = data;
  }

  start(): void {
    this.#started += 1;
    const worker = new Worker(join(__dirname, 'thread.js'), {
      name: 'holdfast-agent',
      workerData: this.#data,
      argv: [],
      execArgv: [],
      env: {},
      stdout: true,
      stderr: true,
      trackUnmanagedFds: false,
      resourceLimits: LIMITS,
    });
    worker.on('error', () => add(this.#memory.numbers, SLOT.dropped, 1));
    worker.on('exit', () => this.#ended());
    worker.unref();
    this.#worker = worker;
    if (this.#listening !== null) this.announce(this.#listening);
  }

  /** Gives something to the thread to pass on. */
  announce(message: Stopping | Attachment | Listening): void {
    this.#worker?.postMessage(message);
  }

  /** The same, which a thread that begins later is given, too. */
  listens(listening: Listening): void {
    this.#listening = listening;
    this.announce(listening);
  }

  #ended(): void {
    this.#worker = null;
    if (this.#started >= MOST_THREADS) return;
    const pauseMs = FIRST_PAUSE_MS * 2 ** (this.#started - 1);
    setTimeout(() => {
      try {
        this.start();
      } catch {
        add(this.#memory.numbers, SLOT.dropped, 1);
      }
    }, pauseMs).unref();
  }
}
