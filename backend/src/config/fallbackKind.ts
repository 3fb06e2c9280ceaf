/** The kind of LB_FALLBACK: what stands in for a pool of which no upstream can be reached. */
import { z } from 'zod';
import { parseMembers, type Member } from '../domain/upstreams/members.js';
import type { Kind } from './kinds.js';

export type FallbackSetting =
  /** The pool of another service of the deployment. */
  | { readonly kind: 'pool'; readonly pool: string }
  /** A pool of its own, over these upstreams. */
  | { readonly kind: 'hosts'; readonly members: readonly Member[]; readonly text: string }
  /** A file of HTML. */
  | { readonly kind: 'page'; readonly file: string }
  | { readonly kind: 'redirect'; readonly location: string };

const ALLOWED =
  'page:<file.html>, redirect:<URL>, pool:<service> or pool:<host:port[,host:port]> (a URL, an .html file or host:port alone is understood, too)';
const LONGEST_CHARACTERS = 4_096;

type Reading = FallbackSetting | { readonly problem: string };

function read(value: unknown): Reading {
  if (typeof value !== 'string' || value.trim() === '' || value.length > LONGEST_CHARACTERS)
    return { problem: 'it is no text' };
  const text = value.trim();
  const [, kind, rest = ''] = /^(page|redirect|pool):(.*)$/is.exec(text) ?? [];
  const target = rest.trim();
  switch (kind?.toLowerCase()) {
    case 'page':
      return target === '' ? { problem: 'page: names no file' } : { kind: 'page', file: target };
    case 'redirect':
      return redirect(target);
    case 'pool':
      return pool(target);
    default:
      break;
  }
  if (/^https?:/i.test(text)) return redirect(text);
  if (/\.html?$/i.test(text)) return { kind: 'page', file: text };
  return /:\d/.test(text) ? pool(text) : { problem: `${JSON.stringify(text)} is neither of them` };
}

function redirect(location: string): Reading {
  // What stands in a field of an answer is ASCII without spaces: a URL parser would quietly take more.
  const isUrl = /^https?:\/\/[\x21-\x7e]+$/i.test(location) && URL.canParse(location);
  if (!isUrl) return { problem: 'redirect: needs a URL that begins with http:// or https://' };
  return { kind: 'redirect', location };
}

function pool(name: string): Reading {
  if (name === '') return { problem: 'pool: names none' };
  if (!/:\d/.test(name)) return { kind: 'pool', pool: name };
  const result = parseMembers(name);
  if (!result.ok) return { problem: result.problems.join('; ') };
  return { kind: 'hosts', members: result.members, text: name };
}

export function fallback(): Kind<FallbackSetting> {
  return {
    schema: z.preprocess(
      (value) => {
        const result = read(value);
        return 'problem' in result ? null : result;
      },
      z.custom<FallbackSetting>((value) => value !== null),
    ),
    allowed: ALLOWED,
    explain: (value) => {
      const result = read(value);
      return 'problem' in result ? result.problem : null;
    },
    unit: null,
    format: formatFallback,
  };
}

/** As it is written in a setting. */
export function formatFallback(setting: FallbackSetting): string {
  switch (setting.kind) {
    case 'pool':
      return `pool:${setting.pool}`;
    case 'hosts':
      return `pool:${setting.text}`;
    case 'page':
      return `page:${setting.file}`;
    case 'redirect':
      return `redirect:${setting.location}`;
  }
}
