/** The FactFinder of ports.ts: asks the application, the kernel, and the files that PM2 writes. */
import { pid as ownPid } from 'node:process';
import { fatalErrorIn } from '../../domain/diagnosis/fatalError.js';
import type { HttpAnswer, Listening, RunningFacts } from '../../domain/diagnosis/facts.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { ForeignHolder } from '../../domain/network/sharedPorts.js';
import { readProcStat } from '../../lib/processIdentity.js';
import type { FactFinder } from '../../ports.js';
import { portOwners } from '../net/portOwners.js';
import { ownerOf, ownersOf } from '../net/processOwner.js';
import {
  listeningPaths,
  listeningSockets,
  socketsOf,
  withDescendants,
  type ListeningSocket,
} from '../net/listeningSockets.js';
import { portHolder } from '../net/portHolder.js';
import { applicationLog, type LogFiles } from './applicationLog.js';
import { askHttp, askTcp, type Address, type Question } from './ask.js';

/** Where applications often say how they are, the likeliest first. */
const OTHER_PATHS = ['/healthz', '/api/health', '/'];
const OTHER_HOST = 'localhost';
const OTHER_TIMEOUT_MS = 2_000;
const IPV4_TIMEOUT_MS = 500;
/** A port that an error names: "listen EADDRINUSE: address already in use :::3000". */
const PORT_IN_ERROR = /\blisten EADDRINUSE\b.*?[: ](\d+)\s*$/;
/** Of no use without the name of an interface. */
const OF_PM2 = /\/(?:rpc|pub|interactor)\.sock$/;
const LINK_LOCAL = /^fe[89ab]/i;
/** Until what a process that ended wrote last has reached its file, by way of PM2's daemon. */
const LOG_SETTLES_MS = 250;

/** @param pm2 what is known of PM2: its log files, and the process of its daemon. */
export function createFactFinder(pm2: LogFiles & { daemonPid(): number | null }): FactFinder {
  return {
    addressOf,
    ownerOf: ({ pid }) => ownerOf(pid),
    ownersOf: ({ pid }) => ownersOf(pid),
    isListening: (port) => portOwners.isListening(port),
    foreignHolder: (process) => foreignHolder(process, pm2.daemonPid()),

    async ofRunning(process, { probe, timeoutMs, host, knownPorts, listening }) {
      const { port } = process;
      const log = await applicationLog(pm2, process);
      if (port === null) return { answer: null, otherPaths: [], listening, holder: null, log };
      const at = { host, port };
      const answer = probe.kind === 'tcp' ? await askTcp(at, timeoutMs) : await askHttp(at, probe, timeoutMs);
      const sockets = await socketsNear(process, knownPorts);
      return {
        answer,
        otherPaths: probe.kind === 'tcp' ? [] : await otherPaths(at, probe, answer),
        otherHost: probe.kind === 'tcp' ? null : await otherHost(at, probe, answer),
        listening: merged(listening, sockets),
        holder: answer.kind === 'refused' ? null : await strangerOn(port, sockets?.pids ?? null),
        log,
      };
    },

    async ofExit(id) {
      await new Promise((resolve) => setTimeout(resolve, LOG_SETTLES_MS));
      const log = await applicationLog(pm2, id).catch(() => null);
      const error = log === null ? null : fatalErrorIn(log.lines);
      const port = Number(PORT_IN_ERROR.exec(error?.headline ?? '')?.[1] ?? 0);
      const holder = port === 0 ? null : await portHolder(port);
      return { error, log, holder: holder === null ? null : { port, by: holder.text } };
    },
  };
}

/** What else answers, where the health path is answered wrongly or not at all. */
async function otherPaths(
  at: Address,
  probe: Question,
  answer: HttpAnswer,
): Promise<RunningFacts['otherPaths']> {
  if (answer.kind !== 'answered' && answer.kind !== 'silent') return [];
  const answers = await Promise.all(
    OTHER_PATHS.filter((path) => path !== probe.path).map(async (path) => ({
      path,
      answer: await askHttp(at, { ...probe, path }, OTHER_TIMEOUT_MS),
    })),
  );
  return answers.flatMap(({ path, answer: { kind, ...rest } }) => {
    const status = kind === 'answered' && 'status' in rest ? rest.status : 0;
    return status >= 200 && status < 400 ? [{ path, status }] : [];
  });
}

/** Whether the health path answers otherwise as the host that lists of allowed hosts most often have. */
async function otherHost(
  at: Address,
  probe: Question,
  answer: HttpAnswer,
): Promise<NonNullable<RunningFacts['otherHost']> | null> {
  const isRefused = answer.kind === 'answered' && answer.status >= 400 && answer.status < 500;
  if (!isRefused || probe.host !== undefined) return null;
  const again = await askHttp(at, { ...probe, host: OTHER_HOST }, OTHER_TIMEOUT_MS);
  return again.kind === 'answered' ? { host: OTHER_HOST, status: again.status } : null;
}

/** `FactFinder.addressOf`. */
async function addressOf(process: ManagedProcess): Promise<string | null> {
  const { pid, port } = process;
  const on = (await listeningSockets())?.filter((socket) => socket.port === port) ?? [];
  if (pid === null || on.length === 0) return null;
  // Only now, because it costs more: which of them are the instance's own, and no stranger's on another address.
  const near = await socketsNear(process, new Set());
  const own = [...(near?.own ?? []), ...(near?.daemons ?? [])].filter((socket) => socket.port === port);
  if (own.some(({ address }) => address === '127.0.0.1' || address === '0.0.0.0')) return null;
  const first = own.find(({ address }) => !LINK_LOCAL.test(address));
  if (first?.address === '::') return (await takesIpv4(first.port)) ? null : '::1';
  return first?.address.replace(/^::ffff:/, '') ?? null;
}

/** Whether one that listens on all addresses of IPv6 takes IPv4, too, as is usual. */
async function takesIpv4(port: number): Promise<boolean> {
  return (await askTcp({ host: '127.0.0.1', port }, IPV4_TIMEOUT_MS)).kind !== 'refused';
}

interface NearSockets {
  /** The instance, its children, and in cluster mode PM2's daemon, which listens for it. */
  readonly pids: ReadonlySet<number>;
  readonly own: readonly ListeningSocket[];
  /** Unix sockets of all of them, but for PM2's own. */
  readonly paths: readonly string[];
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
  const own = await inodesOf(pids);
  const ownSockets = all.filter(({ inode }) => own.has(inode));
  const daemon = mode === 'cluster' ? readProcStat(pid)?.parentPid : undefined;
  const daemons = daemon === undefined ? new Set<string>() : await inodesOf([daemon]);
  if (daemon !== undefined) pids.add(daemon);
  const listening = await listeningPaths();
  const paths = listening.filter(
    ({ path, inode }) => (own.has(inode) || daemons.has(inode)) && !OF_PM2.test(path),
  );
  return {
    pids,
    own: ownSockets,
    paths: paths.map(({ path }) => path),
    daemons: all.filter((one) => daemons.has(one.inode) && (one.port === port || !knownPorts.has(one.port))),
  };
}

async function inodesOf(pids: Iterable<number>): Promise<ReadonlySet<string>> {
  const inodes = new Set<string>();
  for (const pid of pids) for (const inode of await socketsOf(pid)) inodes.add(inode);
  return inodes;
}

/** An agent knows what its process listens on, the kernel what its children do. */
function merged(fromAgent: Listening | null, sockets: NearSockets | null): Listening | null {
  const own = (sockets?.own ?? []).map(({ address, port }) => ({ address, port }));
  const paths = sockets?.paths ?? [];
  if (fromAgent !== null) return { ...fromAgent, addresses: [...fromAgent.addresses, ...own], paths };
  if (sockets === null) return null;
  const { daemons } = sockets;
  if (daemons.length === 0) return { addresses: own, paths, isCertain: true, refused: null };
  const inferred = daemons.map(({ address, port }) => ({ address, port }));
  return { addresses: [...own, ...inferred], paths, isCertain: false, refused: null };
}

/** Another process that listens on the port; null when there is none beside `family`, or can't be told. */
async function strangerOn(port: number, family: ReadonlySet<number> | null): Promise<RunningFacts['holder']> {
  const holder = family === null ? null : await portHolder(port, family);
  return holder === null ? null : { port, by: holder.text };
}

/** `FactFinder.foreignHolder`. */
async function foreignHolder(
  process: ManagedProcess,
  daemonPid: number | null,
): Promise<ForeignHolder | null> {
  if (process.port === null) return null;
  const family = new Set((await socketsNear(process, new Set()))?.pids);
  if (process.mode === 'cluster' && daemonPid !== null) family.add(daemonPid);
  const holder = await portHolder(process.port, family);
  if (holder === null) return null;
  const trusted = (ownerOf(process.pid) ?? ownerOf(ownPid))?.userIds ?? [];
  return { by: holder.text, isOtherUser: holder.userId !== 0 && !trusted.includes(holder.userId) };
}
