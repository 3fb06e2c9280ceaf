/**
 * Who the client is, and what upstreams are told about it.
 *
 * Anybody can send X-Forwarded-For. So what an untrusted peer says is overwritten: the client is the peer. What a
 * trusted proxy (by CIDR) says is kept and appended to, and the client is found from right to left: the first
 * address that is not itself a trusted proxy. An entry that is no address ends the walk.
 */
import { withoutMapping } from '../../domain/network/network.js';
import { BlockList, isIP } from 'node:net';
import { isAddressRange } from '../../domain/network/ipAddress.js';
import type { ArrivedFields, RequestHead } from '../http1/requestHead.js';
import { isValidHost } from '../http1/target.js';

/** Addresses whose word is taken. */
export class TrustedPeers {
  readonly #list = new BlockList();
  readonly isEmpty: boolean;

  /** @param ranges addresses or CIDR ranges, IPv4 and IPv6. Throws RangeError for anything else. */
  constructor(ranges: readonly string[]) {
    this.isEmpty = ranges.length === 0;
    for (const range of ranges) {
      if (!isAddressRange(range)) {
        throw new RangeError(`"${range}" is no address and no CIDR range, e.g. 10.0.0.0/8 or fd00::/8.`);
      }
      const [address = '', prefix] = range.split('/');
      const version = isIP(address);
      const bits = prefix === undefined ? (version === 6 ? 128 : 32) : Number(prefix);
      this.#list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4');
    }
  }

  /** `address` as by withoutMapping. */
  trusts(address: string): boolean {
    if (this.isEmpty) return false;
    const family = isIP(address);
    return family !== 0 && this.#list.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }
}

/** One connection's peer, and what follows from it for every request on it. */
export class Peer {
  readonly address: string;
  readonly secure: boolean;
  readonly trusted: boolean;
  /** It speaks HTTP/2. */
  readonly http2: boolean;
  readonly #trust: TrustedPeers;
  /** The fields of an untrusted peer are the same for every request to one host. */
  #lines = '';
  #linesForHost: string | null = null;

  constructor(address: string, secure: boolean, trust: TrustedPeers, http2 = false) {
    this.address = withoutMapping(address);
    this.secure = secure;
    this.http2 = http2;
    this.#trust = trust;
    this.trusted = trust.trusts(this.address);
  }

  /** Of the HTTP that it speaks: 1.0, 1.1 or 2.0. */
  versionOf(head: { readonly minorVersion: number }): string {
    if (this.http2) return '2.0';
    return head.minorVersion === 1 ? '1.1' : '1.0';
  }

  /** The address of the client itself. */
  clientAddress({ forwardedFor }: ArrivedFields): string {
    return this.trusted && forwardedFor !== null ? this.#reach(forwardedFor).client : this.address;
  }

  /** Whether the client came through TLS, here or at a trusted proxy. */
  isSecure(arrived: ArrivedFields): boolean {
    if (this.secure) return true;
    const { forwardedProto } = arrived;
    return (
      this.trusted &&
      forwardedProto !== null &&
      this.#believed(forwardedProto, arrived).toLowerCase() === 'https'
    );
  }

  /** The host that the client asked for, at the first trusted proxy where there is one. @param host asked for here. */
  originalHost(arrived: ArrivedFields, host: string): string {
    if (!this.trusted || arrived.forwardedHost === null) return host;
    const believed = this.#believed(arrived.forwardedHost, arrived);
    return isValidHost(believed) ? believed : host;
  }

  /** What X-Forwarded-For says as far as it is believed: the client, and how many entries stand behind that one. */
  #reach(forwardedFor: string): { readonly client: string; readonly behind: number } {
    let client = this.address;
    const hops = entriesOf(forwardedFor);
    let at = hops.length;
    for (; at > 0; at -= 1) {
      const hop = hopAddress(hops[at - 1] ?? '');
      if (hop === null) break;
      client = hop;
      if (this.#trust.trusts(hop)) continue;
      at -= 1;
      break;
    }
    return { client, behind: Math.max(0, hops.length - at - 1) };
  }

  /**
   * Of a list to which each proxy appended what it saw of its own client, the entry about the client that is believed.
   * Where proxies replace the value instead, the list is shorter than their chain, and its first entry is what there is.
   */
  #believed(list: string, { forwardedFor }: ArrivedFields): string {
    if (!list.includes(',')) return list;
    const entries = entriesOf(list);
    const behind = forwardedFor === null ? 0 : this.#reach(forwardedFor).behind;
    return entries[Math.max(0, entries.length - 1 - behind)] ?? '';
  }

  /** The forwarded fields of a request, each with its CRLF. */
  forwardedLines(arrived: ArrivedFields & { readonly forwardedOther: string }, host: string): string {
    if (this.trusted) return this.#appended(arrived, host);
    if (this.#linesForHost !== host) {
      this.#lines = fields(this.address, this.secure ? 'https' : 'http', host, this.address);
      this.#linesForHost = host;
    }
    return this.#lines;
  }

  #appended(arrived: ArrivedFields & { readonly forwardedOther: string }, host: string): string {
    const chain = arrived.forwardedFor === null ? this.address : `${arrived.forwardedFor}, ${this.address}`;
    const proto = this.isSecure(arrived) ? 'https' : 'http';
    const lines =
      fields(chain, proto, this.originalHost(arrived, host), this.clientAddress(arrived)) +
      arrived.forwardedOther;
    if (arrived.forwarded === null) return lines;
    const node = isIP(this.address) === 6 ? `"[${this.address}]"` : this.address;
    return `${lines}Forwarded: ${arrived.forwarded}, for=${node};proto=${this.secure ? 'https' : 'http'}\r\n`;
  }
}

/** Empty elements of a list are none (RFC 9110 section 5.6.1.2). */
function entriesOf(list: string): string[] {
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

function fields(chain: string, proto: string, host: string, client: string): string {
  return `X-Forwarded-For: ${chain}\r\nX-Forwarded-Proto: ${proto}\r\nX-Forwarded-Host: ${host}\r\nX-Real-IP: ${client}\r\n`;
}

/** `1.2.3.4`, `1.2.3.4:567`, `::1`, `[::1]:567`; null when it is no address. */
function hopAddress(text: string): string | null {
  const hop = text.trim();
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1];
  const bare = bracketed ?? (/^[\d.]+:\d+$/.test(hop) ? hop.slice(0, hop.indexOf(':')) : hop);
  return isIP(bare) === 0 ? null : withoutMapping(bare);
}

/** Whether the request says that a proxy passed it on, true or not: it carries forwarded fields or Via. */
export function isPassedOn(head: RequestHead): boolean {
  const { forwardedFor, forwardedProto, forwardedHost, forwarded, realIp, via, forwardedOther } = head;
  const any = forwardedFor ?? forwardedProto ?? forwardedHost ?? forwarded ?? realIp ?? via;
  return any !== null || forwardedOther !== '';
}
