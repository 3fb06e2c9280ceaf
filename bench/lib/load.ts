/**
 * Light traffic without keep-alive: one request every few milliseconds, whatever became of the ones before (an open
 * loop), to the targets in turn. Targets are asked for at each request, so that they can come and go.
 */
import { get } from './http.js';

export interface LoadReport {
  readonly requests: number;
  /** What went wrong, and how often: `{"ECONNREFUSED": 3}`. */
  readonly failures: Readonly<Record<string, number>>;
  readonly failed: number;
}

const PATH = '/work';

/** Begins at once. The returned function ends it and resolves when every request was answered or failed. */
export function startLoad(targets: () => readonly number[], intervalMs: number): () => Promise<LoadReport> {
  const inFlight = new Set<Promise<void>>();
  const failures: Record<string, number> = {};
  let requests = 0;
  let failed = 0;

  const send = async (port: number): Promise<void> => {
    const outcome = await get(port, PATH);
    if (outcome === 200) return;
    failed += 1;
    failures[outcome] = (failures[outcome] ?? 0) + 1;
  };
  const timer = setInterval(() => {
    const ports = targets();
    const port = ports[requests % Math.max(1, ports.length)];
    requests += 1;
    if (port === undefined) {
      failed += 1;
      failures['nobody serves'] = (failures['nobody serves'] ?? 0) + 1;
      return;
    }
    const sent = send(port).finally(() => inFlight.delete(sent));
    inFlight.add(sent);
  }, intervalMs);

  return async () => {
    clearInterval(timer);
    await Promise.all(inFlight);
    return { requests, failures, failed };
  };
}
