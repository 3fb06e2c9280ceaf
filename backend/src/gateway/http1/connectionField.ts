/** What Connection fields say (RFC 9110 section 7.6.1): options for this hop, and names of fields that end here. */

/** Fields that decide where a message goes or ends: naming them hop-by-hop is an attempt to make two readers disagree. */
const INDISPENSABLE = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'expect',
  'cookie',
  'authorization',
]);
const TOKEN_ONLY = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

export interface ConnectionOptions {
  close: boolean;
  keepAlive: boolean;
  upgrade: boolean;
  /** Lower case names of further fields to drop; null for none. */
  listed: string[] | null;
}

/** Adds what `value` says to `options`. @returns false when it is malformed or names an indispensable field. */
export function readConnectionField(value: string, options: ConnectionOptions): boolean {
  for (const part of value.toLowerCase().split(',')) {
    const option = part.trim();
    if (option === '') continue;
    if (option === 'close') options.close = true;
    else if (option === 'keep-alive') options.keepAlive = true;
    else if (option === 'upgrade') options.upgrade = true;
    else if (!TOKEN_ONLY.test(option) || INDISPENSABLE.has(option)) return false;
    else (options.listed ??= []).push(option);
  }
  return true;
}
