/**
 * Posts reports to the supervisor's API over one connection that is kept open. Whatever goes wrong is a sentence, not
 * an exception, and nothing takes longer than a time-out: a supervisor that stands still must not be felt here.
 */
import { request, type Agent } from 'node:http';
import type { TrafficReport } from '../../domain/statistics/traffic.js';
import type { SupervisorLink } from '../../ports.js';
import { SupervisorAgent, type SupervisorAddress } from './supervisorAgent.js';

export interface ReportClientOptions {
  readonly supervisor: SupervisorAddress;
  /** Default 2 000. */
  readonly timeoutMs?: number;
}

const PATH = '/api/ha/gateway/report';
const DEFAULT_TIMEOUT_MS = 2_000;
const MOST_ANSWER_BYTES = 64 * 1024;

export function createReportClient({ supervisor, timeoutMs }: ReportClientOptions): SupervisorLink {
  const { url, token } = supervisor;
  const agent = new SupervisorAgent(supervisor, { keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
  const target = new URL(PATH, url);
  return {
    report: (report) => post(report, { target, token, agent, timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS }),
    close: () => {
      agent.destroy();
      return Promise.resolve();
    },
  };
}

interface Call {
  readonly target: URL;
  readonly token: string | null;
  readonly agent: Agent;
  readonly timeoutMs: number;
}

function post(report: TrafficReport, { target, token, agent, timeoutMs }: Call): Promise<string | null> {
  const body = JSON.stringify(report);
  return new Promise((resolve) => {
    const call = request(target, {
      method: 'POST',
      agent,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
    });
    const timer = setTimeout(
      () => call.destroy(new Error(`${target.host} gave no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const settle = (problem: string | null): void => {
      clearTimeout(timer);
      resolve(problem);
    };
    call.on('response', (answer) => {
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MOST_ANSWER_BYTES) call.destroy(new Error('its answer is too long'));
      });
      answer.on('error', (error) => settle(error.message));
      answer.on('end', () => {
        const { statusCode = 0 } = answer;
        settle(statusCode === 200 ? null : `${target.host} answered ${statusCode}`);
      });
    });
    call.on('error', (error) => settle(error.message));
    call.end(body);
  });
}
