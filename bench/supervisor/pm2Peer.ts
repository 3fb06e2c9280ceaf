/** PM2 as people use it without Holdfast: its programmatic API, in a child process. See pm2Peer.cjs. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { benchFolder } from '../lib/paths.js';

export interface Pm2Instance {
  readonly pmId: number;
  readonly port: number;
}

export interface Pm2Peer {
  instances(app: string): Promise<readonly Pm2Instance[]>;
  /** `change` like `+1`. Resolves with the time until PM2 called back, ms. */
  scale(app: string, change: string): Promise<number>;
  /** Resolves with the time until PM2 called back, ms. */
  reload(app: string): Promise<number>;
  removeNewest(app: string): Promise<void>;
  close(): void;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
  readonly tookMs?: number;
}

const COMMAND_TIMEOUT_MS = 120_000;

/** Connects to the daemon of `env.PM2_HOME`. */
export async function connectPm2Peer(env: Readonly<Record<string, string>>): Promise<Pm2Peer> {
  const child = fork(join(benchFolder, 'supervisor/pm2Peer.cjs'), { env: { ...env } });
  const waiting = new Map<number, (answer: Answer) => void>();
  let lastId = 0;
  child.on('message', (message) => {
    const answer = message as Answer;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  const expect = (id: number, what: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`pm2 did not answer: ${what}`)), COMMAND_TIMEOUT_MS);
      waiting.set(id, (answer) => {
        clearTimeout(timer);
        if (answer.error === undefined) resolve(answer);
        else reject(new Error(`pm2 ${what}: ${answer.error}`));
      });
    });
  const call = (command: string, app: string, argument?: string): Promise<Answer> => {
    lastId += 1;
    const answered = expect(lastId, `${command} ${app}`);
    child.send({ id: lastId, command, app, argument });
    return answered;
  };
  await expect(0, 'connect');
  return {
    instances: async (app) => (await call('instances', app)).result as Pm2Instance[],
    scale: async (app, change) => (await call('scale', app, change)).tookMs ?? Number.NaN,
    reload: async (app) => (await call('reload', app)).tookMs ?? Number.NaN,
    removeNewest: async (app) => void (await call('removeNewest', app)),
    close: () => child.disconnect(),
  };
}
