/**
 * Which names stand for a secret: `password`, `DB_PASS`, `clientSecret`, `X-Api-Key`, `connect.sid`. A name is judged by the
 * words in it, however they are joined.
 */

/**
 * `value`: the value alone is secret. `word`: the same, but the name is a word with another meaning as well (`tests that
 * pass: one`), so that a plain word is no value. `field`: a header field, of which all that follows on its line is secret.
 */
export type SecretKind = 'value' | 'word' | 'field';

/** Header fields with more than one word as their value. */
const FIELDS = /^(?:set-?)?cookies?2?$|^(?:proxy-?|x-?)?(?:[a-z]+-)?authorization$|^_header$/i;

/** Secret wherever they stand in a name, also without anything between the words (`PGPASSWORD`, `dbpassword`). */
const STEMS =
  /passw|passphrase|passcode|userpass|dbpass|secret|token|credential|cookie|authorization|api_?key|accountkey|private_?key|access_?key|session_?id|sessid|webhook|conn_?string|connection_?string/i;

/** These, too, as the last word of a name. */
const OTHER_MEANINGS: ReadonlySet<string> = new Set([
  'pass',
  'jwt',
  'pin',
  'sid',
  'sig',
  'signature',
  'session',
  'auth',
]);

/** Secret as a word of its own. */
const WORDS: ReadonlySet<string> = new Set([
  'pwd',
  'pw',
  'passwd',
  'psw',
  'otp',
  'totp',
  'cvv',
  'cvc',
  'dsn',
  'bearer',
  'csrf',
  'xsrf',
  'requirepass',
  'masterauth',
]);

/** `key` alone is no secret: these before it make it one. */
const KEY_OF: ReadonlySet<string> = new Set([
  'api',
  'private',
  'access',
  'signing',
  'sign',
  'encryption',
  'encrypt',
  'decryption',
  'master',
  'account',
  'shared',
  'auth',
  'storage',
  'service',
  'license',
  'session',
  'crypto',
  'client',
  'admin',
  'root',
  'deploy',
  'ssh',
  'rsa',
  'aes',
  'hmac',
  'app',
  'subscription',
]);

/** With these at its end, a name says something about a secret and is none (`tokenType`, `password.js:10`). */
const ABOUT =
  /^(?:counts?|lengths?|size|limits?|max|min|expir(?:es|y|ed|ation|e)|at|in|ttl|type|timeout|names?|file|path|dir|folder|age|ms|seconds|bytes|valid|required|enabled|disabled|changed|policy|ref|url|uri|endpoint|arn|version|parser|index|position|offset|js|mjs|cjs|ts|mts|cts|jsx|tsx|json|py|go|rb|java|php|rs|html|css|vue|yml|yaml|md|log|test|spec)$/;

/** All in capitals and with KEY at its end (`STRIPE_KEY`), but not what is called so for another reason. */
const NO_SECRET_KEY =
  /^(?:PUBLIC|CACHE|PRIMARY|FOREIGN|SORT|PARTITION|HASH|ROW|INDEX|GROUP|OBJECT|TLS|SSL|HOST|LOOKUP|UNIQUE)$/;

const LONGEST_NAME = 100;

/** What stands under that name: a secret, and how far it reaches; null for anything else. */
export function secretKindOf(given: string): SecretKind | null {
  const name = given.slice(-LONGEST_NAME).replace(/^[-_$.]+/, '');
  if (name.length < 2) return null;
  if (FIELDS.test(name)) return 'field';
  const words = wordsOf(name);
  const last = words.at(-1) ?? '';
  // The address of a webhook is secret, the path of a file with it is not.
  if (ABOUT.test(last) && (last === 'file' || !/webhook/i.test(name))) return null;
  if (STEMS.test(name) || words.some((word) => WORDS.has(word))) return 'value';
  if (last === 'pass' && words.length > 1) return 'value';
  if (OTHER_MEANINGS.has(last) && (words.length === 1 || !/^(?:session|auth)$/.test(last))) return 'word';
  return isKey(given, words, last) ? 'value' : null;
}

function isKey(name: string, words: readonly string[], last: string): boolean {
  if (last !== 'key') return false;
  const before = words.at(-2) ?? '';
  if (KEY_OF.has(before)) return true;
  return /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_KEY$/.test(name) && !NO_SECRET_KEY.test(before.toUpperCase());
}

/** `dbPassword`, `DB_PASSWORD` and `db-password` → db, password. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .split(/[^A-Za-z]+/)
    .filter((word) => word !== '')
    .map((word) => word.toLowerCase());
}

/** A plural with a number counts something: `tokens: 12`; so does the status of a mail: `dsn=4.0.0`. */
export const countsThings = (name: string): boolean =>
  /(?:tokens|passes|secrets|cookies|credentials|pass|dsn)$/i.test(name);

/** Names of query parameters that carry a secret, beside those that are one everywhere. */
export const isSecretParameter = (name: string): boolean =>
  /^(?:key|code|auth|session|state|nonce|assertion|ticket|hash|hmac|x-amz-\w+)$/i.test(name) ||
  secretKindOf(name) !== null;
