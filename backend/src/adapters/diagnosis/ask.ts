/** One request to an application that does not serve, with all that its answer tells. Unlike a probe it judges nothing. */
import { request } from 'node:http';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { HttpAnswer } from '../../domain/diagnosis/facts.js';
import type { ProbeSpec } from '../../domain/policy.js';
import { probeHeaders } from '../probes/headers.js';

export interface Address {
  readonly host: string;
  readonly port: number;
}

const MOST_BODY_BYTES = 64 * 1024;
const TLS_TIMEOUT_MS = 1_000;

/** What is asked for, and as which host with which fields: those of a probe. */
export type Question = Pick<Extract<ProbeSpec, { kind: 'http' }>, 'path' | 'host' | 'headers'>;

/** A GET. Never rejects; ends within `timeoutMs`, or a second later where it has to look for TLS. */
export async function askHttp(at: Address, question: Question, timeoutMs: number): Promise<HttpAnswer> {
  const answer = await ask(at, question, timeoutMs);
  if (answer.kind !== 'not-http') return answer;
  return { ...answer, speaksTls: await speaksTls(at) };
}

function ask({ host, port }: Address, question: Question, timeoutMs: number): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    let isConnected = false;
    const outgoing = request({
      host,
      port,
      path: question.path,
      agent: false,
      headers: probeHeaders(question),
    });
    const end = (answer: HttpAnswer): void => {
      clearTimeout(timer);
      resolve(answer);
      outgoing.destroy();
    };
    const timer = setTimeout(() => end({ kind: 'silent', waitedMs: timeoutMs }), timeoutMs);
    outgoing.on('socket', (socket) => socket.once('connect', () => (isConnected = true)));
    outgoing.on('upgrade', ({ statusCode = 0 }) => {
      end({ kind: 'answered', status: statusCode, location: null, body: '' });
    });
    outgoing.on('response', (answer) => {
      const { statusCode = 0, headers } = answer;
      const chunks: Buffer[] = [];
      let bytes = 0;
      const done = (): void => {
        const body = Buffer.concat(chunks).toString('utf8');
        end({ kind: 'answered', status: statusCode, location: headers.location ?? null, body });
      };
      answer.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes >= MOST_BODY_BYTES) done();
      });
      answer.on('end', done);
      answer.on('error', done);
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => end(failure(error, isConnected)));
    outgoing.end();
  });
}

function failure(error: NodeJS.ErrnoException, isConnected: boolean): HttpAnswer {
  if (error.code === 'ECONNREFUSED') return { kind: 'refused' };
  if (!isConnected) return { kind: 'failed', detail: error.message };
  const isParsed = error.code?.startsWith('HPE_') === true;
  const detail = isParsed ? 'what came is no HTTP' : 'the connection was closed without an answer';
  return { kind: 'not-http', detail, speaksTls: false };
}

/** Whether something accepts connections. Shown as an answer without a status, since nothing was asked. */
export function askTcp({ host, port }: Address, timeoutMs: number): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (answer: HttpAnswer): void => {
      resolve(answer);
      socket.destroy();
    };
    socket.once('connect', () => end({ kind: 'answered', status: 0, location: null, body: '' }));
    socket.once('timeout', () => end({ kind: 'silent', waitedMs: timeoutMs }));
    socket.on('error', (error: NodeJS.ErrnoException) => end(failure(error, false)));
  });
}

function speaksTls({ host, port }: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTls({ host, port, timeout: TLS_TIMEOUT_MS, rejectUnauthorized: false });
    const end = (speaks: boolean): void => {
      resolve(speaks);
      socket.destroy();
    };
    socket.once('secureConnect', () => end(true));
    socket.once('timeout', () => end(false));
    // A server that wants a certificate from its client, or refuses our ciphers, says so in TLS.
    socket.on('error', (error: NodeJS.ErrnoException) => end(/_ALERT_/.test(error.code ?? '')));
  });
}
