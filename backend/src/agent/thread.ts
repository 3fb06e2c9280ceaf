/**
 * Entry of the agent thread: sends figures, watches for hangs, passes on what the main thread announces. It lives on its
 * own event loop, so it goes on while the application's is blocked. An error in here is counted, and shown in `dropped`;
 * it never reaches the application.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { FiguresReader } from './figures.js';
import { createHangWatch } from './hang/index.js';
import type { ThreadData } from './host.js';
import { PROTOCOL } from './limits.js';
import { viewMainThread } from './mainThread.js';
import { read, settingsOf, sharedMemory, SLOT } from './memory.js';
import { untilNextMomentMs } from './moments.js';
import type { Attachment, Listening, Stopping, Welcome } from './protocol.js';
import { TICK_MS } from './seams.js';
import { Transport } from './transport.js';

const { buffer, socketPath, startedAtMs, startedAtWallMs } = workerData as ThreadData;
const memory = sharedMemory(buffer);
const { numbers } = memory;
let failures = 0;
/** What is told of it last; null before it listens. */
let listening: Listening | null = null;
process.on('uncaughtException', () => {
  failures += 1;
});

const transport = new Transport({
  path: socketPath,
  hello: {
    type: 'hello',
    protocol: PROTOCOL,
    pid: process.pid,
    agent: ownVersion(),
    node: process.version,
    startedAtMs: startedAtWallMs,
  },
  onWelcome: (welcome) => {
    settle(welcome);
    if (listening !== null) transport.send(listening);
  },
});
const reader = new FiguresReader(memory, startedAtMs);
const hangWatch = createHangWatch({
  main: viewMainThread(memory, startedAtMs),
  breadcrumbs: memory.breadcrumbs,
  settings: () => settingsOf(memory),
  isConnected: () => transport.isTalking,
  send: (message) => transport.send(message),
});

function settle({ hangTimeoutMs, intervalMs, killTimeoutMs }: Welcome): void {
  const isChanged = read(numbers, SLOT.intervalMs) !== intervalMs;
  numbers[SLOT.hangTimeoutMs] = hangTimeoutMs;
  numbers[SLOT.intervalMs] = intervalMs;
  numbers[SLOT.killTimeoutMs] = killTimeoutMs;
  if (isChanged) reportEvery(intervalMs);
}

let reporting: NodeJS.Timeout | undefined;
function reportEvery(intervalMs: number): void {
  clearTimeout(reporting);
  reporting = setTimeout(
    () => {
      reportEvery(intervalMs);
      if (transport.isTalking) transport.offer(reader.next(transport.dropped + failures));
    },
    untilNextMomentMs(intervalMs, Date.now()),
  );
}

function ownVersion(): string {
  try {
    const text = readFileSync(join(__dirname, '../../../package.json'), 'utf8');
    return String((JSON.parse(text) as { version?: unknown }).version);
  } catch {
    return 'unknown';
  }
}

parentPort?.on('message', (message: Stopping | Attachment | Listening) => {
  if (message.type !== 'listening') return transport.send(message);
  listening = message;
  // One that is not connected tells it when it is.
  if (transport.isTalking) transport.send(message);
});
reportEvery(read(numbers, SLOT.intervalMs));
setInterval(() => {
  numbers[SLOT.heard] = transport.isTalking ? 1 : 0;
  hangWatch.tick();
}, TICK_MS);
transport.start();
