/** Requests of a stranger: every one opens a connection of its own. */
import { request } from 'node:http';
import { pause } from './time.js';

const HOST = '127.0.0.1';

/** The status, or what went wrong (`ECONNREFUSED`, `ECONNRESET`, `timeout`, …). Never rejects. */
export function get(port: number, path: string, timeoutMs = 5_000): Promise<number | string> {
  return new Promise((resolve) => {
    const outgoing = request({ host: HOST, port, path, agent: false, timeout: timeoutMs });
    outgoing.on('response', (response) => {
      response.on('error', (error) => resolve(error.message));
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.resume();
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')));
    outgoing.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    outgoing.end();
  });
}

/** Pause between two requests while waiting: what a measured time may be too long by. */
const POLL_MS = 2;

/** Time from now to the first 200 of `port`, ms. Rejects after `deadlineMs`. */
export async function firstAnswerMs(port: number, deadlineMs = 20_000): Promise<number> {
  const beganMs = performance.now();
  for (;;) {
    const outcome = await get(port, '/');
    const elapsedMs = performance.now() - beganMs;
    if (outcome === 200) return elapsedMs;
    if (elapsedMs > deadlineMs)
      throw new Error(`port ${port} did not answer in ${deadlineMs} ms: ${outcome}`);
    await pause(POLL_MS);
  }
}
