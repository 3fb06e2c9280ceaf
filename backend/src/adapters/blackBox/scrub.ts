/**
 * What comes out of a dying process goes into a file that people send to each other. Agents remove what concerns that
 * process alone before they send it. Everything is scrubbed here all the same: an agent may be any process.
 */
import { REDACTED, scrubber } from '../../lib/secrets/ofProcess.js';
import { isSecretKey } from '../logging/redact.js';

/** In a diagnostic report: the environment, what the process was started with, and the addresses that it talks to. */
const REMOVED =
  /^(?:environmentVariables|commandLine|networkInterfaces|host|remoteEndpoint|localEndpoint|ip[46])$/;

const DEEPEST = 40;
const MOST_CHILDREN = 20_000;

/** A diagnostic report, or anything else of JSON: without what REMOVED names, and without what looks like a secret. */
export function scrubReport(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return scrubber.text(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEEPEST) return '[deep]';
  if (Array.isArray(value)) return value.slice(0, MOST_CHILDREN).map((item) => scrubReport(item, depth + 1));
  const kept: [string, unknown][] = [];
  for (const [key, child] of Object.entries(value)) {
    if (REMOVED.test(key)) continue;
    kept.push([key, isSecretKey(key) ? REDACTED : scrubReport(child, depth + 1)]);
  }
  return Object.fromEntries(kept);
}

interface ProfileNode {
  readonly callFrame: {
    readonly functionName: string;
    readonly scriptId: string;
    readonly url: string;
    readonly lineNumber: number;
    readonly columnNumber: number;
  };
  readonly selfSize: number;
  readonly id: number;
  readonly children: readonly ProfileNode[];
}

/** Deeper than any stack that a sampling profiler keeps. */
const DEEPEST_FRAME = 500;

/**
 * A sampling heap profile as DevTools loads it (`HeapProfiler.SamplingHeapProfile` of the Chrome DevTools Protocol),
 * rebuilt field by field so that nothing else can be in it; null when it is none.
 */
export function scrubHeapProfile(
  value: unknown,
): { readonly head: ProfileNode; readonly samples: unknown[] } | null {
  if (!isObject(value)) return null;
  const head = profileNode(value['head'], 0);
  const samples = Array.isArray(value['samples']) ? value['samples'].map(profileSample) : [];
  return head === null || samples.includes(null) ? null : { head, samples };
}

function profileNode(value: unknown, depth: number): ProfileNode | null {
  if (!isObject(value) || !isObject(value['callFrame']) || depth > DEEPEST_FRAME) return null;
  const { selfSize, id, children } = value;
  const { functionName, scriptId, url, lineNumber, columnNumber } = value['callFrame'];
  if (typeof functionName !== 'string' || typeof url !== 'string' || typeof selfSize !== 'number')
    return null;
  if (typeof lineNumber !== 'number' || typeof columnNumber !== 'number') return null;
  if (!Array.isArray(children)) return null;
  const below = children.map((child) => profileNode(child, depth + 1));
  if (below.includes(null)) return null;
  return {
    callFrame: {
      functionName: scrubber.text(functionName),
      scriptId: typeof scriptId === 'string' ? scriptId.slice(0, 32) : '0',
      url: scrubber.text(url),
      lineNumber,
      columnNumber,
    },
    selfSize,
    id: typeof id === 'number' ? id : 0,
    children: below.filter((child) => child !== null),
  };
}

function profileSample(value: unknown): unknown {
  if (!isObject(value)) return null;
  const { size, nodeId, ordinal } = value;
  const isSample = typeof size === 'number' && typeof nodeId === 'number' && typeof ordinal === 'number';
  return isSample ? { size, nodeId, ordinal } : null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
