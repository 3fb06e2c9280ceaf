/** One GET of a JSON document with a time-out and a bound, for sources that answer over HTTP. */
import { request as requestHttp, type Agent, type IncomingHttpHeaders } from 'node:http';
import { request as requestHttps } from 'node:https';

export interface JsonAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** null when the status is not 200. */
  readonly body: unknown;
}

export interface GetOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** Over everything: connecting, waiting, reading. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Opens the connection. Default: a new one by the URL. */
  readonly agent?: Agent;
}

const MOST_BODY_BYTES = 16 * 1024 * 1024;

/** Rejects with a sentence for people: no connection, too late, too long, no JSON; or when aborted. */
export function getJson(url: URL, { headers, timeoutMs, signal, agent }: GetOptions): Promise<JsonAnswer> {
  return new Promise((resolve, reject) => {
    const open = url.protocol === 'https:' ? requestHttps : requestHttp;
    const call = open(url, {
      agent: agent ?? false,
      headers: { accept: 'application/json', ...headers },
      signal,
    });
    const timer = setTimeout(
      () => call.destroy(new Error(`${url.host} gave no full answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(new Error(explainFailure(error, url)));
    };
    call.on('error', fail);
    call.on('response', (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MOST_BODY_BYTES)
          call.destroy(new Error(`the answer of ${url.host} is longer than 16 MiB`));
        else chunks.push(chunk);
      });
      answer.on('error', fail);
      answer.on('end', () => {
        clearTimeout(timer);
        const { statusCode: status = 0, headers } = answer;
        try {
          const body: unknown = status === 200 ? JSON.parse(Buffer.concat(chunks).toString('utf8')) : null;
          resolve({ status, headers, body });
        } catch {
          reject(new Error(`the answer of ${url.host} is no JSON`));
        }
      });
    });
    call.end();
  });
}

/** Why a request got no answer, for people. */
export function explainFailure(error: Error, { host }: URL): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return `nothing listens at ${host}`;
  if (code === 'ECONNRESET') return `${host} closed the connection before its answer was complete`;
  return error.message;
}
