/**
 * The diagnostic report that goes with a hang: Node's own, of the process and of the watching thread (the main thread
 * can't be asked), with what may hold a secret or the address of a person taken out, and short. The supervisor removes
 * secrets once more; what never leaves the process needs no trust.
 */
import { readChildren, readMainThread } from './threadStat.js';

const MAX_ENTRIES = 64;
const MAX_TEXT = 2_000;

type Json = Record<string, unknown>;

/** Takes about ten milliseconds of the watching thread. null where Node gives none. */
export function takeReport(): Json | null {
  const { report } = process;
  // Since Node 20.13; without it, handles are described with their peers' names, and looking those up takes seconds.
  const network = report as unknown as { excludeNetwork?: boolean } | undefined;
  if (report === undefined || network?.excludeNetwork === undefined) return null;
  const before = network.excludeNetwork;
  try {
    network.excludeNetwork = true;
    const raw: unknown = report.getReport();
    return describe((typeof raw === 'string' ? JSON.parse(raw) : raw) as Json);
  } catch {
    return null;
  } finally {
    network.excludeNetwork = before;
  }
}

function describe(report: Json): Json {
  const mainThread = { ...readMainThread(), children: readChildren() };
  return { ...trimReport(report), mainThread };
}

/** What of a report may leave the process. */
export function trimReport(report: Json): Json {
  const { header, environmentVariables: _environment, sharedObjects, libuv, ...rest } = report;
  return {
    header: trimHeader(asRecord(header)),
    ...(bounded(rest, 0) as Json),
    libuv: asList(libuv).slice(0, MAX_ENTRIES).map(trimHandle),
    // Node's own come first; the addons that an application has loaded are what one looks for.
    sharedObjects: asList(sharedObjects).slice(-MAX_ENTRIES),
  };
}

/** Arguments may hold secrets: program and script stay, the rest is counted. */
function trimHeader(header: Json): Json {
  const { commandLine, networkInterfaces: _addresses, cpus, ...rest } = header;
  const args = asList(commandLine);
  const hidden = Math.max(0, args.length - 1);
  return {
    ...(bounded(rest, 0) as Json),
    commandLine: [...args.slice(0, 1), ...(hidden > 0 ? [`… ${hidden} more`] : [])],
    cpus: asList(cpus).length,
  };
}

function trimHandle(handle: unknown): Json {
  const { localEndpoint: _local, remoteEndpoint: _remote, ...rest } = asRecord(handle);
  return rest;
}

/** Deep copies no larger than a page needs. */
function bounded(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return value.slice(0, MAX_TEXT);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > 6) return '…';
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((entry) => bounded(entry, depth + 1));
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, MAX_ENTRIES)
      .map(([key, entry]) => [key, bounded(entry, depth + 1)]),
  );
}

function asRecord(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
