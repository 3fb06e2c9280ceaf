/** A call of the API that changes instances, and what it says when it is done: what `scale`, `failover` and `deploy` share. */
import type { InstanceRef, OperationReport } from '../domain/model.js';
import type { CliContext } from './context.js';
import { holdfast } from './invocation.js';
import { duration } from './terminal.js';

/** On top of the operation's own time, so that its answer arrives. */
const ANSWER_SLACK_MS = 5_000;

export interface OperationRequest {
  /** `scale-up`, `failover`, … */
  readonly call: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
  readonly json: boolean;
  /** While it is under way: "rolling shop: one canary, then the rest". */
  readonly progress: string;
}

/** @returns the exit code: 1 also when the time ran out first. */
export async function operate(context: CliContext, request: OperationRequest): Promise<number> {
  const { terminal, api } = context;
  const { call, body, timeoutMs, json, progress } = request;
  if (!json) terminal.progress(progress);
  const { data } = await api.post<OperationReport>(
    `/api/ha/${call}`,
    { ...body, timeoutMs },
    { timeoutMs: timeoutMs + ANSWER_SLACK_MS },
  );
  if (json) {
    terminal.json(data);
    return data.done ? 0 : 1;
  }
  if (!data.done) {
    terminal.problem(
      `${data.serviceName}: still under way after ${duration(timeoutMs)}: ${data.pending.join('; ')}. It goes on; ` +
        `\`${holdfast(context, 'status')}\` shows it.`,
    );
    return 1;
  }
  terminal.done(`${data.message} (${duration(data.durationMs)})`);
  for (const line of instanceLines(data)) terminal.line(`  ${line}`);
  return 0;
}

function instanceLines({ started, stopped }: OperationReport): string[] {
  return [
    ...(started.length === 0 ? [] : [`started  ${started.map(refText).join(', ')}`]),
    ...(stopped.length === 0 ? [] : [`stopped  ${stopped.map(refText).join(', ')}`]),
  ];
}

function refText({ pmId, pid, port }: InstanceRef): string {
  const where = [port === null ? '' : `port ${port}`, pid === null ? '' : `pid ${pid}`].filter(Boolean);
  return where.length === 0 ? `#${pmId}` : `#${pmId} (${where.join(', ')})`;
}
