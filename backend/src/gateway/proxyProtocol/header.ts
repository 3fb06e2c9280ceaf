/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt): what a proxy that forwards bytes says
 * about the client in front of it, once, before anything else.
 *
 *   version 1   PROXY TCP4 192.0.2.7 198.51.100.1 51234 443 CRLF                 text, at most 107 bytes
 *   version 2   12 bytes signature, version and command, family, length, addresses, TLVs          binary
 *
 * Strict, because the connection's address decides about limits and access: whatever is not exactly a header is no
 * header. What follows the addresses in version 2 (TLVs, or families without an address here) is skipped.
 */
import { ipVersion, readIpv6 } from '../../domain/network/ipAddress.js';

export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid'; readonly problem: string }
  | {
      readonly kind: 'complete';
      /** What follows it begins here. */
      readonly length: number;
      /** null: the proxy speaks for itself (LOCAL), or names no IP address (UNKNOWN, UNIX). */
      readonly client: { readonly address: string; readonly port: number } | null;
    };

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const PREFIX = Buffer.from('PROXY ', 'latin1');
const LONGEST_LINE = 107;
const FIXED_BYTES = 16;
/** Addresses and TLVs of version 2: the field could say 65 535, but nobody has so much to tell. */
export const MAX_REST_BYTES = 4_096;

const INCOMPLETE: ProxyHeader = { kind: 'incomplete' };

/** Reads the header at the beginning of `bytes`, which may continue or be cut anywhere. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (beginsWith(bytes, SIGNATURE)) return bytes.length < FIXED_BYTES ? INCOMPLETE : readBinary(bytes);
  if (beginsWith(bytes, PREFIX)) return bytes.length < PREFIX.length ? INCOMPLETE : readLine(bytes);
  return invalid('it begins with something else');
}

/** Whether `bytes` is a beginning of `expected`, or begins with it. */
function beginsWith(bytes: Buffer, expected: Buffer): boolean {
  const length = Math.min(bytes.length, expected.length);
  return bytes.compare(expected, 0, length, 0, length) === 0;
}

function readLine(bytes: Buffer): ProxyHeader {
  const end = bytes.indexOf('\r\n', 0, 'latin1');
  if (end === -1 && bytes.length < LONGEST_LINE) return INCOMPLETE;
  if (end === -1 || end > LONGEST_LINE - 2) return invalid(`its line is longer than ${LONGEST_LINE} bytes`);
  const [family, ...parts] = bytes.toString('latin1', PREFIX.length, end).split(' ');
  const length = end + 2;
  // Whatever else stands in an UNKNOWN line is to be ignored.
  if (family === 'UNKNOWN') return { kind: 'complete', length, client: null };
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0;
  const [source = '', destination = '', sourcePort = '', destinationPort = ''] = parts;
  if (version === 0 || parts.length !== 4) return invalid('its line is not "PROXY TCP4|TCP6|UNKNOWN …"');
  if (ipVersion(source) !== version || ipVersion(destination) !== version) {
    return invalid(`an address in it is no IPv${version} address`);
  }
  const port = portOf(sourcePort);
  if (port === null || portOf(destinationPort) === null) return invalid('a port in it is none');
  const address = version === 4 ? source : canonicalIpv6(source);
  return { kind: 'complete', length, client: { address, port } };
}

function canonicalIpv6(text: string): string {
  const groups = new Uint16Array(8);
  readIpv6(text, groups);
  return ipv6Text(groups);
}

function portOf(text: string): number | null {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : null;
}

const LOCAL = 0x20;
const PROXIED = 0x21;
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [1, 12], // IPv4: two addresses, two ports
  [2, 36], // IPv6
]);

function readBinary(bytes: Buffer): ProxyHeader {
  const command = bytes[12] ?? 0;
  const family = (bytes[13] ?? 0) >> 4;
  const transport = (bytes[13] ?? 0) & 0x0f;
  const restBytes = bytes.readUInt16BE(14);
  if (command !== LOCAL && command !== PROXIED) return invalid('its version or command is unknown');
  if (family > 3 || transport > 2) return invalid('its address family or transport is unknown');
  if (restBytes > MAX_REST_BYTES) return invalid(`it is longer than ${FIXED_BYTES + MAX_REST_BYTES} bytes`);
  const needed = ADDRESS_BYTES.get(family) ?? 0;
  if (command === PROXIED && restBytes < needed) return invalid('it is too short for its addresses');
  const length = FIXED_BYTES + restBytes;
  if (bytes.length < length) return INCOMPLETE;
  // Only a stream can be what we accepted; a datagram's address, like a socket's path, says nothing here.
  const hasClient = command === PROXIED && needed > 0 && transport === 1;
  return { kind: 'complete', length, client: hasClient ? readAddress(bytes, needed) : null };
}

function readAddress(bytes: Buffer, addressBytes: number): { address: string; port: number } {
  const size = addressBytes === 12 ? 4 : 16;
  const raw = bytes.subarray(FIXED_BYTES, FIXED_BYTES + size);
  const port = bytes.readUInt16BE(FIXED_BYTES + 2 * size);
  if (size === 4) return { address: raw.join('.'), port };
  return { address: ipv6Text(Uint16Array.from({ length: 8 }, (_, i) => raw.readUInt16BE(2 * i))), port };
}

/** As RFC 5952 writes it, so that one client has one name; one that is an IPv4 address in truth is written as such. */
function ipv6Text(groups: Uint16Array): string {
  const [first = 0, second = 0] = groups.subarray(6);
  if (groups.subarray(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return [first >> 8, first & 0xff, second >> 8, second & 0xff].join('.');
  }
  const full = Array.from(groups, (group) => group.toString(16)).join(':');
  // The URL parser compresses an IPv6 host in exactly that way.
  return new URL(`http://[${full}]`).hostname.slice(1, -1);
}

function invalid(problem: string): ProxyHeader {
  return { kind: 'invalid', problem };
}
