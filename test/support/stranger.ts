/** Another user of this machine, who takes a port. Needs root, to become that user. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export { portOwners } from '../../backend/src/adapters/net/portOwners.js';

/** Of no account of this machine's tests. */
export const STRANGER_UID = 65_533;
export const canBeStranger = process.getuid?.() === 0 && process.platform === 'linux';

export interface Stranger {
  readonly port: number;
  /** Requests that it has got. It is asked, so that none is on its way to be told. */
  requests(): Promise<number>;
  /** Lets the port go. */
  leave(): Promise<void>;
}

const SCRIPT = `
  const [port, host] = process.argv.slice(1);
  let requests = 0;
  const server = require('node:http').createServer((request, response) => {
    requests += 1;
    response.end('stranger');
  });
  process.stdin.on('data', () => process.stdout.write('requests ' + requests + '\\n'));
  process.stdin.on('end', () => process.exit());
  const listen = () => server.listen(Number(port), host);
  server.on('error', () => setTimeout(listen, 1));
  server.on('listening', () => process.stdout.write('listening ' + server.address().port + '\\n'));
  listen();
`;

/**
 * Takes the port as soon as it is free, and answers every request with 200.
 * @param port 0: any.
 * @param uid null: the user of this process.
 */
export function stranger(
  port: number,
  host = '127.0.0.1',
  uid: number | null = STRANGER_UID,
): { readonly listening: Promise<Stranger> } {
  const child = spawn(process.execPath, ['-e', SCRIPT, String(port), host], {
    ...(uid === null ? {} : { uid, gid: uid }),
    cwd: '/',
    env: {},
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let told: (requests: number) => void = () => undefined;
  const listening = new Promise<Stranger>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the stranger ended with ${code}`)));
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n')) {
        const [what, figure] = line.split(' ');
        if (what === 'requests') told(Number(figure));
        if (what !== 'listening') continue;
        resolve({
          port: Number(figure),
          requests: () =>
            new Promise((answer) => {
              told = answer;
              child.stdin.write('?');
            }),
          leave: async () => {
            if (child.exitCode !== null || child.signalCode !== null) return;
            const exit = once(child, 'exit');
            child.kill('SIGKILL');
            await exit;
          },
        });
      }
    });
  });
  return { listening };
}
