/**
 * What an agent may say (backend/src/agent/protocol.ts), checked by hand: an agent is whatever connects. With 200
 * agents four times a second a schema library would cost more than everything else here together (measured: `figures`
 * 2 µs here, 15 µs and more with zod 4); `npm run bench -- agent` has the whole.
 *
 * Texts end up in logs, events and files: they are cut to a length, and control characters are taken out. Unknown
 * fields are not looked at.
 */
import type { AgentAttachment, AgentFigures, Hang } from '../../domain/agents/agent.js';
import type { ListenAddress, Listening } from '../../domain/diagnosis/facts.js';
import { LATENCY_BOUNDS_MS } from '../../domain/statistics/histogram.js';

export interface Hello {
  readonly protocol: number;
  readonly pid: number;
  readonly agentVersion: string;
  readonly nodeVersion: string;
  /** Wall clock of the process's start, by its own account. */
  readonly startedAtMs: number;
}

export type Message =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'figures'; readonly seq: number; readonly figures: AgentFigures }
  | { readonly kind: 'hang'; readonly hang: Hang }
  | { readonly kind: 'recovered'; readonly hang: number; readonly silentMs: number }
  | { readonly kind: 'attachment'; readonly attachment: AgentAttachment }
  | { readonly kind: 'stopping'; readonly signal: string; readonly draining: boolean }
  | { readonly kind: 'listening'; readonly listening: Listening }
  /** Of a type that a later version may know. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'bad'; readonly problem: string };

export interface ArrivalTime {
  /** Clock.nowMs */
  readonly nowMs: number;
  readonly wallMs: number;
}

type Fields = Readonly<Record<string, unknown>>;

const BUCKETS = LATENCY_BOUNDS_MS.length + 1;
const MOST_PID = 2 ** 31;
const MOST_FRAMES = 64;
const MOST_REQUESTS = 10;
const MOST_ADDRESSES = 64;
const MOST_PORT = 65_535;
const LONGEST_TEXT = 500;
const LONGEST_VERSION = 64;
/** Deeper than any report or profile: what recurses over it must not overflow its stack. */
const MOST_DEPTH = 1_000;

/** Thrown within this file only; `readMessage` answers it. */
class Bad extends Error {}

/** Reads one line. Never throws. */
export function readMessage(line: string, at: ArrivalTime): Message {
  try {
    const parsed: unknown = JSON.parse(line);
    if (!isFields(parsed)) throw new Bad('not an object');
    return read(parsed, at);
  } catch (thrown) {
    return { kind: 'bad', problem: thrown instanceof Bad ? thrown.message : 'not JSON' };
  }
}

function read(fields: Fields, at: ArrivalTime): Message {
  switch (fields['type']) {
    case 'figures':
      return { kind: 'figures', seq: amount(fields, 'seq'), figures: readFigures(fields, at.nowMs) };
    case 'hello':
      return { kind: 'hello', hello: readHello(fields) };
    case 'hang':
      return { kind: 'hang', hang: readHang(fields) };
    case 'recovered':
      return { kind: 'recovered', hang: amount(fields, 'hang'), silentMs: amount(fields, 'silentMs') };
    case 'attachment':
      return { kind: 'attachment', attachment: readAttachment(fields, at.wallMs) };
    case 'stopping':
      return {
        kind: 'stopping',
        signal: text(fields['signal'], 'signal', LONGEST_VERSION),
        draining: flag(fields, 'draining'),
      };
    case 'listening':
      return { kind: 'listening', listening: readListening(fields) };
    default:
      if (typeof fields['type'] !== 'string') throw new Bad('type is missing');
      return { kind: 'unknown' };
  }
}

function readHello(fields: Fields): Hello {
  const protocol = amount(fields, 'protocol');
  const pid = amount(fields, 'pid');
  if (!Number.isInteger(pid) || pid < 1 || pid > MOST_PID) throw new Bad('pid is no process number');
  return {
    protocol,
    pid,
    agentVersion: text(fields['agent'], 'agent', LONGEST_VERSION),
    nodeVersion: text(fields['node'], 'node', LONGEST_VERSION),
    startedAtMs: amount(fields, 'startedAtMs'),
  };
}

function readFigures(fields: Fields, atMs: number): AgentFigures {
  return {
    atMs,
    beatAgeMs: amount(fields, 'beatAgeMs'),
    eluPercent: Math.min(100, 100 * amount(fields, 'elu')),
    delayP50Ms: maybeAmount(fields, 'delayP50Ms'),
    delayP99Ms: maybeAmount(fields, 'delayP99Ms'),
    delayMaxMs: maybeAmount(fields, 'delayMaxMs'),
    rssBytes: amount(fields, 'rssBytes'),
    heapUsedBytes: maybeAmount(fields, 'heapUsedBytes'),
    heapLimitBytes: maybeAmount(fields, 'heapLimitBytes'),
    liveHeapBytes: maybeAmount(fields, 'liveHeapBytes'),
    majorGcs: amount(fields, 'majorGcs'),
    externalBytes: maybeAmount(fields, 'externalBytes'),
    active: amount(fields, 'active'),
    unanswered: amount(fields, 'unanswered'),
    oldestUnansweredMs: maybeAmount(fields, 'oldestUnansweredMs'),
    unansweredOverdue: amount(fields, 'unansweredOverdue'),
    sinceFinishedMs: maybeAmount(fields, 'sinceFinishedMs'),
    finished: amount(fields, 'finished'),
    aborted: amount(fields, 'aborted'),
    statuses: readStatuses(fields['statuses']),
    latency: readLatency(fields['latency']),
    latencySumMs: amount(fields, 'latencySumMs'),
    connections: amount(fields, 'connections'),
    debugged: flag(fields, 'debugged'),
    dropped: amount(fields, 'dropped'),
  };
}

function readStatuses(value: unknown): AgentFigures['statuses'] {
  if (!Array.isArray(value) || value.length !== 5) throw new Bad('statuses must be five counts');
  const [a, b, c, d, e] = value as unknown[];
  if (!isAmount(a) || !isAmount(b) || !isAmount(c) || !isAmount(d) || !isAmount(e)) {
    throw new Bad('statuses must be five counts');
  }
  return [a, b, c, d, e];
}

function readLatency(value: unknown): readonly number[] {
  if (!Array.isArray(value) || value.length % 2 !== 0 || value.length > 2 * BUCKETS) {
    throw new Bad('latency must be pairs of bucket and count');
  }
  for (let at = 0; at < value.length; at += 2) {
    const bucket: unknown = value[at];
    if (!isAmount(bucket) || bucket >= BUCKETS || !Number.isInteger(bucket) || !isAmount(value[at + 1])) {
      throw new Bad('latency must be pairs of bucket and count');
    }
  }
  return value as number[];
}

function readHang(fields: Fields): Hang {
  const { where, stack, requests } = fields;
  if (where !== 'javascript' && where !== 'native' && where !== 'unknown')
    throw new Bad('where must be javascript, native or unknown');
  if (!Array.isArray(stack)) throw new Bad('stack must be a list');
  if (!Array.isArray(requests)) throw new Bad('requests must be a list');
  return {
    hang: amount(fields, 'hang'),
    silentMs: amount(fields, 'silentMs'),
    where,
    stack: stack.slice(0, MOST_FRAMES).map((frame) => text(frame, 'stack', LONGEST_TEXT)),
    detail: text(fields['detail'], 'detail', LONGEST_TEXT),
    requests: requests.slice(0, MOST_REQUESTS).map(readRequest),
  };
}

function readRequest(value: unknown): Hang['requests'][number] {
  if (!isFields(value)) throw new Bad('requests must be a list of requests');
  // Whatever the agent says: a query may hold a secret.
  const [path = ''] = text(value['path'], 'path', LONGEST_TEXT).split('?', 1);
  return { method: text(value['method'], 'method', LONGEST_VERSION), path, ageMs: amount(value, 'ageMs') };
}

function readListening(fields: Fields): Listening {
  const { addresses, refused } = fields;
  if (!Array.isArray(addresses)) throw new Bad('addresses must be a list');
  if (refused !== null && !isFields(refused)) throw new Bad('refused must be an address or null');
  return {
    addresses: addresses.slice(0, MOST_ADDRESSES).map((one) => readAddress(one)),
    isCertain: true,
    refused:
      refused === null
        ? null
        : { ...readAddress(refused), code: text(refused['code'], 'code', LONGEST_VERSION) },
  };
}

function readAddress(value: unknown): ListenAddress {
  if (!isFields(value)) throw new Bad('addresses must be a list of addresses');
  const port = amount(value, 'port');
  if (!Number.isInteger(port) || port > MOST_PORT) throw new Bad('port is no port');
  return { address: text(value['address'], 'address', LONGEST_VERSION), port };
}

function readAttachment(fields: Fields, atWallMs: number): AgentAttachment {
  const { kind, content } = fields;
  if (kind !== 'report' && kind !== 'heap-profile') throw new Bad('kind must be report or heap-profile');
  if (!isFields(content)) throw new Bad('content must be an object');
  if (depthOf(content) > MOST_DEPTH) throw new Bad('content is nested too deeply');
  return { kind, atWallMs, content };
}

/** Without recursion: that is what it protects others from. */
function depthOf(root: object): number {
  let depth = 0;
  let level: readonly object[] = [root];
  while (level.length > 0 && depth <= MOST_DEPTH) {
    depth += 1;
    level = level
      .flatMap((one) => Object.values(one) as unknown[])
      .filter((value) => typeof value === 'object' && value !== null);
  }
  return depth;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON has no NaN, but it has 1e999. */
function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}

function amount(fields: Fields, name: string): number {
  const value = fields[name];
  if (!isAmount(value)) throw new Bad(`${name} must be a number from 0`);
  return value;
}

function maybeAmount(fields: Fields, name: string): number | null {
  return fields[name] === null ? null : amount(fields, name);
}

function flag(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (typeof value !== 'boolean') throw new Bad(`${name} must be true or false`);
  return value;
}

function text(value: unknown, name: string, longest: number): string {
  if (typeof value !== 'string') throw new Bad(`${name} must be text`);
  const plain = value.replace(/[\p{Cc}\p{Cs}\u2028\u2029]+/gu, ' ');
  return plain.length <= longest ? plain : `${plain.slice(0, longest - 1)}…`;
}
