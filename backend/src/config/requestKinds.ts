/** Kinds of value that go into the head of a request: `Host`, and other header fields. */
import { z } from 'zod';

import type { Kind } from './kinds.js';

/** `Host` of a request: a name or an address, IPv6 in brackets, with a port if wanted. */
const HOST_FIELD = /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?$/;

export function hostField(): Kind<string> {
  const isHost = (value: string): boolean => {
    const port = HOST_FIELD.exec(value)?.[1] ?? '1';
    return HOST_FIELD.test(value) && Number(port) >= 1 && Number(port) <= 65_535;
  };
  return {
    schema: z.string().trim().refine(isHost),
    allowed: 'a host name or an IP address, IPv6 in brackets, with :port if wanted',
    unit: null,
    format: (host) => host,
  };
}

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** Printable ASCII, without spaces at the ends. */
const FIELD_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?$/;
/** Fields that belong to the connection or to the framing of a request (RFC 9110, 7.6.1), and Host, which is hostField. */
const NOT_TO_BE_SET: ReadonlySet<string> = new Set(
  (
    'connection proxy-connection keep-alive te trailer transfer-encoding upgrade proxy-authenticate ' +
    'proxy-authorization content-length expect host'
  ).split(' '),
);
const MOST_FIELDS = 32;
const MOST_FIELDS_CHARACTERS = 8_192;

/** Fields of a request that has no body: a map of names to values, the same as JSON, or one `Name: value`. */
export function headerFields(): Kind<Readonly<Record<string, string>>> {
  return {
    schema: z.preprocess(readFields, z.record(z.string(), z.string()).refine(areFields)),
    allowed:
      `names and values of header fields: a map, JSON such as {"X-Health-Token": "…"}, or one X-Health-Token: …; ` +
      `at most ${MOST_FIELDS}, values of printable ASCII, without Host, Content-Length, Expect and what belongs to a connection ` +
      '(Connection, Upgrade, Transfer-Encoding, …)',
    unit: null,
    format: (fields) => JSON.stringify(fields),
  };
}

function readFields(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const text = value.trim();
  if (!text.startsWith('{')) {
    const [, name, content] = /^([^\s:]+):\s*(.*)$/.exec(text) ?? [];
    return name === undefined ? value : { [name]: content };
  }
  try {
    return JSON.parse(text);
  } catch {
    return value;
  }
}

function areFields(fields: Readonly<Record<string, string>>): boolean {
  const entries = Object.entries(fields);
  const names = new Set(entries.map(([name]) => name.toLowerCase()));
  if (entries.length === 0 || entries.length > MOST_FIELDS || names.size < entries.length) return false;
  if (JSON.stringify(fields).length > MOST_FIELDS_CHARACTERS) return false;
  return entries.every(
    ([name, value]) =>
      FIELD_NAME.test(name) && FIELD_VALUE.test(value) && !NOT_TO_BE_SET.has(name.toLowerCase()),
  );
}
