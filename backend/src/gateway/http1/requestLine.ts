/**
 * The request line (RFC 9112 section 3): exactly one space between its parts, CRLF at its end. Methods are those that
 * Node knows: what it does not, its parser would refuse behind us.
 */
import { METHODS } from 'node:http';
import { CR, LF, SPACE, TARGET, TOKEN } from './chars.js';
import { refusal, type HeadLimits, type Refusal } from './refusal.js';

const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS);

export interface RequestLine {
  method: string;
  target: string;
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minorVersion: number;
}

/** Reads `METHOD target HTTP/1.1` into `head`. @returns where the field lines begin, or why it is refused. */
export function readRequestLine(text: string, limits: HeadLimits, head: RequestLine): number | Refusal {
  let at = 0;
  while (TOKEN[text.charCodeAt(at)] === 1) at += 1;
  if (at === 0 || text.charCodeAt(at) !== SPACE) {
    return refusal(400, 'head.malformed', 'The request line does not begin with a method and one space.');
  }
  head.method = text.slice(0, at);
  const targetAt = at + 1;
  at = targetAt;
  while (TARGET[text.charCodeAt(at)] === 1) at += 1;
  if (at - targetAt > limits.maxTargetBytes) {
    return refusal(
      414,
      'target.too-long',
      `The request target is longer than ${limits.maxTargetBytes} bytes.`,
    );
  }
  if (at === targetAt || text.charCodeAt(at) !== SPACE || !text.startsWith('HTTP/', at + 1)) {
    return refusal(400, 'head.malformed', 'The request line is not "method target HTTP/1.1".');
  }
  head.target = text.slice(targetAt, at);
  const versionAt = at + 6;
  if (text.charCodeAt(versionAt + 3) !== CR || text.charCodeAt(versionAt + 4) !== LF) {
    return refusal(400, 'head.malformed', 'The request line does not end with a version and CRLF.');
  }
  const version = text.slice(versionAt, versionAt + 3);
  if (version !== '1.1' && version !== '1.0') {
    return refusal(505, 'version.unsupported', 'This port speaks HTTP/1.1 and HTTP/1.0.');
  }
  head.minorVersion = version === '1.1' ? 1 : 0;
  if (!KNOWN_METHODS.has(head.method)) {
    return refusal(501, 'method.unknown', 'The method is not known here.');
  }
  return versionAt + 5;
}
