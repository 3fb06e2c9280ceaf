/**
 * Upstreams as a source names them, and how people write them: `host:port`, with `;weight=N` after it, several separated
 * by commas; IPv6 addresses in brackets.
 */
import { ipVersion } from '../network/ipAddress.js';
import { sameOwner, type PortOwner } from '../network/portOwner.js';

/** An upstream as a source names it. */
export interface Member {
  /** host:port; IPv6 hosts in brackets. */
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** Share of traffic relative to the others, 1–1000. */
  readonly weight: number;
  /** Its source does not vouch for it, and names it only because it can vouch for nobody. */
  readonly doubtful?: true | undefined;
  /** It runs and answers, and has never passed the source's probe: checks of it say nothing, its traffic does. */
  readonly unverified?: true | undefined;
  /** Its source wants it to take nothing new, and to stay: it may be wanted again. */
  readonly draining?: true | undefined;
  /** On this machine: to which users its port must belong. Absent: to any. */
  readonly owner?: PortOwner | undefined;
}

/** What a weight may be. */
export const MOST_WEIGHT = 1_000;

/** @param host a name or an address, IPv6 without brackets. @param weight default 1. */
export function memberOf(host: string, port: number, weight = 1): Member {
  return { id: `${host.includes(':') ? `[${host}]` : host}:${port}`, host, port, weight };
}

/** Consecutive ports of one host. */
export function portRange(host: string, firstPort: number, count: number): readonly Member[] {
  return Array.from({ length: count }, (_, index) => memberOf(host, firstPort + index));
}

/** Without repetitions (the first of several with one id counts), in the order of the ids. */
export function distinctMembers(members: readonly Member[]): readonly Member[] {
  const byId = new Map<string, Member>();
  for (const member of members) if (!byId.has(member.id)) byId.set(member.id, member);
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Whether two lists by `distinctMembers` say the same. */
export function sameMembers(a: readonly Member[], b: readonly Member[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, index) => {
      const other = b[index];
      return (
        one.id === other?.id &&
        one.weight === other.weight &&
        one.doubtful === other.doubtful &&
        one.unverified === other.unverified &&
        one.draining === other.draining &&
        sameOwner(one.owner, other.owner)
      );
    })
  );
}

export type MembersReading =
  | { readonly ok: true; readonly members: readonly Member[] }
  /** One sentence for each entry that can't be read. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** Reads a comma-separated list; all that is wrong is said at once. */
export function parseMembers(text: string): MembersReading {
  const members: Member[] = [];
  const problems: string[] = [];
  const ids = new Set<string>();
  for (const entry of text.split(',').map((part) => part.trim())) {
    const read = entry === '' ? 'an entry is empty' : parseMember(entry);
    if (typeof read === 'string') {
      problems.push(read);
    } else if (ids.has(read.id)) {
      problems.push(`${read.id} is there twice`);
    } else {
      ids.add(read.id);
      members.push(read);
    }
  }
  return problems.length === 0 ? { ok: true, members } : { ok: false, problems };
}

const ENTRY = /^(?:\[([^\]]*)\]|([^[\]:;]*)):(\d{1,5})(?:\s*;\s*weight\s*=\s*([^;]*))?$/i;
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?$/i;

/** One entry, or a sentence that says what is wrong with it. */
export function parseMember(entry: string): Member | string {
  const shown = JSON.stringify(entry.length <= 80 ? entry : `${entry.slice(0, 79)}…`);
  const match = ENTRY.exec(entry);
  if (match === null) {
    const isBareIpv6 = ipVersion(entry) === 6 || /:.*:.*:\d+$/.test(entry);
    const hint =
      isBareIpv6 && !entry.startsWith('[') ? '; IPv6 addresses stand in brackets, as in [::1]:8080' : '';
    return `${shown} is not host:port or host:port;weight=N${hint}`;
  }
  const [, bracketed, plain = '', portText = '', weightText] = match;
  const host = (bracketed ?? plain).trim();
  const port = Number(portText);
  if (!isHost(host, bracketed !== undefined))
    return `${shown}: ${JSON.stringify(host)} is no host name and no IP address`;
  if (port < 1 || port > 65_535) return `${shown}: the port must be from 1 to 65535`;
  const weight = weightText === undefined ? 1 : readWeight(weightText.trim());
  if (weight === null) return `${shown}: the weight must be a whole number from 1 to ${MOST_WEIGHT}`;
  return memberOf(host.toLowerCase(), port, weight);
}

function isHost(host: string, bracketed: boolean): boolean {
  if (bracketed) return ipVersion(host) === 6;
  // Digits and dots are meant as an address; 10.0.0.300 is not a name that DNS could know.
  return /^[\d.]+$/.test(host) ? ipVersion(host) === 4 : HOST_NAME.test(host);
}

function readWeight(text: string): number | null {
  const weight = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  return weight >= 1 && weight <= MOST_WEIGHT ? weight : null;
}
