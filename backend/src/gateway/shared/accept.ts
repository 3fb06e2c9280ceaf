/**
 * Which form of an error a client can read (RFC 9110 section 12.5.1). Browsers get a page, every other client JSON:
 * curl, fetch() and API clients send an asterisk, JSON, or no Accept at all.
 */

const ACCEPT = /^accept:([^\r\n]*)/gim;
const JSON_TYPE = 'application/json';

/** The value of Accept in the text of a head, several lines joined; null: there is none. Takes malformed heads, too. */
export function acceptIn(headText: string): string | null {
  const values = [...headText.matchAll(ACCEPT)].map(([, value = '']) => value.trim());
  return values.length === 0 ? null : values.join(',');
}

/** Whether the client names HTML and does not prefer JSON to it. @param accept the field's value; null: it sent none. */
export function prefersPage(accept: string | null): boolean {
  if (accept === null) return false;
  const weights = new Map(accept.split(',').map(readRange));
  const html = weights.get('text/html') ?? weights.get('text/*') ?? 0;
  const json = weights.get(JSON_TYPE);
  if (json !== undefined) return html > json;
  // What is named goes before what an asterisk stands for: `text/html, */*` is how old browsers ask for a page.
  return html > 0 && html >= (weights.get('application/*') ?? weights.get('*/*') ?? 0);
}

/** Whether the client asks for JSON and not for a page. @param accept as above. */
export function prefersJson(accept: string | null): boolean {
  return accept !== null && /\bapplication\/json\b/i.test(accept) && !prefersPage(accept);
}

/** A media range without its parameters, in lower case, and its weight. */
function readRange(range: string): readonly [string, number] {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith('q='));
  return [type, weight === undefined ? 1 : Number(weight.slice(2)) || 0];
}
