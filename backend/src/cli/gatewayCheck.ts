/** Whether the gateway serves, as clients see it. */
import { get } from 'node:http';
import { reachableUrl } from '../config/reachable.js';
import { HoldfastError } from '../domain/errors.js';
import type { CliContext } from './context.js';

const POLL_MS = 250;
const ANSWER_TIMEOUT_MS = 2_000;

/** For people: "http://127.0.0.1:13003". */
export function gatewayUrl({ config: { gateway } }: CliContext): string {
  return reachableUrl(gateway.host, gateway.port);
}

/**
 * Waits until the gateway has somebody to send requests to.
 * @throws HoldfastError `gateway.not-serving` when it has not within `timeoutMs`.
 */
export async function awaitGateway(context: CliContext, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const url = gatewayUrl(context);
  for (;;) {
    const answer = await statusOf(`${url}/health`);
    if (answer === 200) return;
    if (performance.now() > deadline) {
      const found = typeof answer === 'number' ? `answers ${answer}` : `does not answer (${answer})`;
      const advice = `Look into ${context.config.logDir}/ha-gateway.log and \`pm2 logs ha-gateway\`.`;
      throw new HoldfastError(
        'gateway.not-serving',
        `The gateway at ${url} ${found} after ${timeoutMs / 1_000} s. ${advice}`,
      );
    }
    context.terminal.progress(`waiting for the gateway at ${url}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Whether `url` is answered with 200. Never rejects. */
export async function isAnswered(url: string): Promise<boolean> {
  return (await statusOf(url)) === 200;
}

/** The status, or what went wrong. Never rejects. */
function statusOf(url: string): Promise<number | string> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: ANSWER_TIMEOUT_MS }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', (error) => resolve(error.message));
  });
}
