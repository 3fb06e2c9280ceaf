/** The FactFinder of ports.ts: asks the application, the kernel, and the files that PM2 writes. */
import { fatalErrorIn } from '../../domain/diagnosis/fatalError.js';
import type { HttpAnswer, Listening, RunningFacts } from '../../domain/diagnosis/facts.js';
import type { ManagedProcess } from '../../domain/model.js';
import { readProcStat } from '../../lib/processIdentity.js';
import type { FactFinder } from '../../ports.js';
import {
  listeningSockets,
  socketsOf,
  withDescendants,
  type ListeningSocket,
} from '../net/listeningSockets.js';
import { portHolder } from '../net/portHolder.js';
import { applicationLog, type LogFiles } from './applicationLog.js';
import { askHttp, askTcp } from './ask.js';

/** Where applications often say how they are, the likeliest first. */
const OTHER_PATHS = ['/healthz', '/api/health', '/'];
const OTHER_TIMEOUT_MS = 2_000;
/** A port that an error names: "listen EADDRINUSE: address already in use :::3000". */
const PORT_IN_ERROR = /\blisten EADDRINUSE\b.*?[: ](\d+)\s*$/;
/** Until what a process that ended wrote last has reached its file, by way of PM2's daemon. */
const LOG_SETTLES_MS = 250;

const HOST = '127.0.0.1';

export function createFactFinder(files: LogFiles): FactFinder {
  return {
    async ofRunning(process, { probe, timeoutMs, knownPorts, listening }) {
      const { port } = process;
      const log = await applicationLog(files, process);
      if (port === null) return { answer: null, otherPaths: [], listening, holder: null, log };
      const at = { host: HOST, port };
      const answer =
        probe.kind === 'tcp' ? await askTcp(at, timeoutMs) : await askHttp(at, probe.path, timeoutMs);
      const sockets = await socketsNear(process, knownPorts);
      return {
        answer,
        otherPaths: probe.kind === 'tcp' ? [] : await otherPaths(port, probe.path, answer),
        listening: merged(listening, sockets),
        holder: answer.kind === 'refused' ? null : await strangerOn(port, sockets?.pids ?? null),
        log,
      };
    },

    async ofExit(id) {
      await new Promise((resolve) => setTimeout(resolve, LOG_SETTLES_MS));
      const log = await applicationLog(files, id).catch(() => null);
      const error = log === null ? null : fatalErrorIn(log.lines);
      const port = Number(PORT_IN_ERROR.exec(error?.headline ?? '')?.[1] ?? 0);
      const holder = port === 0 ? null : await portHolder(port);
      return { error, log, holder: holder === null ? null : { port, by: holder.text } };
    },
  };
}

/** What else answers, where the health path is answered wrongly or not at all. */
async function otherPaths(
  port: number,
  asked: string,
  answer: HttpAnswer,
): Promise<RunningFacts['otherPaths']> {
  if (answer.kind !== 'answered' && answer.kind !== 'silent') return [];
  const answers = await Promise.all(
    OTHER_PATHS.filter((path) => path !== asked).map(async (path) => ({
      path,
      answer: await askHttp({ host: HOST, port }, path, OTHER_TIMEOUT_MS),
    })),
  );
  return answers.flatMap(({ path, answer: { kind, ...rest } }) => {
    const status = kind === 'answered' && 'status' in rest ? rest.status : 0;
    return status >= 200 && status < 400 ? [{ path, status }] : [];
  });
}

interface NearSockets {
  /** The instance, its children, and in cluster mode PM2's daemon, which listens for it. */
  readonly pids: ReadonlySet<number>;
  readonly own: readonly ListeningSocket[];
  /** Of the daemon, without those that other instances were given. */
  readonly daemons: readonly ListeningSocket[];
}

async function socketsNear(
  { pid, port, mode }: ManagedProcess,
  knownPorts: ReadonlySet<number>,
): Promise<NearSockets | null> {
  const all = pid === null ? null : await listeningSockets();
  if (all === null || pid === null) return null;
  const pids = new Set(await withDescendants(pid));
  const heldBy = async (holders: Iterable<number>): Promise<readonly ListeningSocket[]> => {
    const inodes = new Set<string>();
    for (const holder of holders) for (const inode of await socketsOf(holder)) inodes.add(inode);
    return all.filter(({ inode }) => inodes.has(inode));
  };
  const own = await heldBy(pids);
  const daemon = mode === 'cluster' ? readProcStat(pid)?.parentPid : undefined;
  if (daemon === undefined) return { pids, own, daemons: [] };
  const held = await heldBy([daemon]);
  pids.add(daemon);
  return { pids, own, daemons: held.filter((one) => one.port === port || !knownPorts.has(one.port)) };
}

/** An agent knows what its process listens on, the kernel what its children do. */
function merged(fromAgent: Listening | null, sockets: NearSockets | null): Listening | null {
  const own = (sockets?.own ?? []).map(({ address, port }) => ({ address, port }));
  if (fromAgent !== null) return { ...fromAgent, addresses: [...fromAgent.addresses, ...own] };
  if (sockets === null) return null;
  const { daemons } = sockets;
  if (daemons.length === 0) return { addresses: own, isCertain: true, refused: null };
  const inferred = daemons.map(({ address, port }) => ({ address, port }));
  return { addresses: [...own, ...inferred], isCertain: false, refused: null };
}

/** Another process that listens on the port; null when it is one of `family`, or can't be told. */
async function strangerOn(port: number, family: ReadonlySet<number> | null): Promise<RunningFacts['holder']> {
  if (family === null) return null;
  const holder = await portHolder(port);
  return holder === null || family.has(holder.pid) ? null : { port, by: holder.text };
}
