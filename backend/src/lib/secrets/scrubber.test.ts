/** Secrets of any shape are taken out, ordinary text is left alone, and the time is linear. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REDACTED, Scrubber } from './scrubber.js';
import { secretKindOf } from './names.js';
import { secrets, SECRET_SHAPES, shows } from '../../../../test/support/secretShapes.js';

const scrubText = new Scrubber().text;

describe('a secret', () => {
  it.each(SECRET_SHAPES)('is taken out: $shape', ({ write, plain }) => {
    fc.assert(
      fc.property(secrets(plain === true), (secret) => {
        const written = write(secret);
        const shown = scrubText(written);
        expect(shows(shown, secret), `${written} → ${shown}`).toBe(false);
        expect(shown).toContain(REDACTED);
        expect(scrubText(shown)).toBe(shown);
      }),
    );
  });

  it('is taken out of a text with many, wherever they stand', () => {
    const parts = fc.array(fc.tuple(fc.constantFrom(...SECRET_SHAPES), secrets(true)), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(parts, fc.constantFrom('\n', '\n  and then\n', '\r\n'), (chosen, between) => {
        const shown = scrubText(chosen.map(([{ write }, secret]) => write(secret)).join(between));
        for (const [, secret] of chosen) expect(shows(shown, secret), shown).toBe(false);
      }),
    );
  });

  it.each([
    ['password=hunter2 rest', `password=${REDACTED} rest`],
    ['{"apiKey": "abc", "n": 1}', `{"apiKey": "${REDACTED}", "n": 1}`],
    ["DB_PASSWORD: 'a b c'", `DB_PASSWORD: '${REDACTED}'`],
    ['connect redis://:s3cret@cache:6379/0', `connect redis://${REDACTED}@cache:6379/0`],
    ['GET https://x.example/a?sid=1&page=2 failed', `GET https://x.example/a?sid=${REDACTED}&page=2 failed`],
    ['a=1&token=x1&b=2', `a=1&token=${REDACTED}&b=2`],
    ['(password=abc)', `(password=${REDACTED})`],
    ['node app.js --password k%22AAAAAAA7q --port 80', `node app.js --password ${REDACTED} --port 80`],
    ['see token%3Dab1%26x%3D1', `see token%3D${REDACTED}%26x%3D1`],
    [`{ token: 'a', n: 1 }`, `{ token: '${REDACTED}', n: 1 }`],
  ])('leaves what stands around it: %s', (from, to) => {
    expect(scrubText(from)).toBe(to);
  });
});

describe('a secret that this process knows', () => {
  const known = `t0p/S"e&c r€t`;
  const scrubber = new Scrubber([known, null, undefined, '', 'abc']);
  const base64 = (text: string): string => Buffer.from(text).toString('base64');

  it.each([
    ['as it is', known],
    ['percent-encoded', encodeURIComponent(known)],
    ['as a form sends it', new URLSearchParams({ q: known }).toString().slice(2)],
    ['in JSON', JSON.stringify(known).slice(1, -1)],
    ['in JSON in JSON', JSON.stringify(JSON.stringify({ a: known }))],
    ['in HTML', known.replaceAll('&', '&amp;').replaceAll('"', '&quot;')],
    ['hexadecimal', Buffer.from(known).toString('hex')],
    ['in base64', base64(known)],
    ['in base64 behind a name', base64(`a:${known}`)],
    ['in base64 behind a longer name', base64(`ab:${known}`)],
    ['in base64url', Buffer.from(`:${known}`).toString('base64url')],
  ])('is taken out wherever it stands: %s', (_form, written) => {
    const shown = scrubber.text(`x ${written} y`);
    expect(shown).toContain(REDACTED);
    const left = shown.replaceAll(REDACTED, '');
    expect(left.length).toBeLessThan(written.includes('"a') ? 20 : 12);
    expect(shown).not.toContain(known);
  });

  it('is none when it is too short to be told from a word', () => {
    expect(scrubber.text('an abc of logs')).toBe('an abc of logs');
  });

  it('can be learnt later', () => {
    const later = new Scrubber();
    expect(later.text('see correct-horse')).toBe('see correct-horse');
    later.learn(['correct-horse']);
    expect(later.text('see correct-horse')).toBe(`see ${REDACTED}`);
  });
});

describe('a name', () => {
  it.each([
    'password', 'DB_PASS', 'dbPass', 'mysql_password', 'pwd', 'clientSecret', 'client-secret', 'apiKey', 'API_KEY', 'x-api-key', 'apikey',
    'PGPASSWORD', 'aws_secret_access_key', 'accessToken', 'refresh_token', 'id_token', 'csrfToken', 'JSESSIONID', 'connect.sid',
    'encryptionKey', 'SIGNING_KEY', 'STRIPE_KEY', 'SharedAccessKey', 'AccountKey', 'passphrase', 'LOG_SQL_DSN', 'REDIS_CONN_STRING',
    'notifyWebhookUrl', 'credentials', 'Authorization', 'Set-Cookie', 'cookie', 'sessionSecret',
  ])('%s is that of a secret', (name) => {
    expect(secretKindOf(name)).not.toBeNull();
  }); // prettier-ignore

  it.each([
    'key', 'publicKey', 'primaryKey', 'cacheKey', 'keyId', 'tokenType', 'token_count', 'tokenizer.js', 'password.ts', 'passwordLength', 'HA_API_TOKEN_FILE',
    'author', 'passenger', 'bypass_at', 'compass', 'secretName', 'tokensPerSecond_max', 'monkey', 'service', 'reason', 'pwd_dir', 'TLS_KEY',
  ])('%s is not', (name) => {
    expect(secretKindOf(name)).toBeNull();
  }); // prettier-ignore
});

describe('ordinary text', () => {
  it.each([
    'TypeError: x is not a function',
    '    at f (file:///app/a.js:3:1)',
    '    at parse (/app/node_modules/cookie/lib/token.js:10:5)',
    `SyntaxError: Unexpected token '}', "{"a":}" is not valid JSON`,
    'Error: secret or public key must be provided',
    '# pass 12',
    'tests that pass: one',
    'tokens: 1200, max_tokens=4096',
    'password: null, token: undefined, hasToken: true',
    'git+ssh://git@github.com/o/r.git',
    'https://registry.example/@scope/pkg/-/pkg-1.0.0.tgz',
    'http://127.0.0.1:3000/a@b',
    'https://example.org/a@b',
    'npm warn deprecated string-width@4.2.3: use npm:string-width@^5',
    '10.0.0.1 - - [30/Nov/2026:10:00:00 +0000] "GET /a?page=2&sort=name HTTP/1.1" 200 12 "-" "Mozilla/5.0"',
    'http://localhost:5173/src/hooks/useAuth2.js?t=1764500000000',
    'Basic authentication is required; the Bearer token is missing',
    'integrity sha512-YXNkZmFzZGZhc2RmYXNkZmFzZGZhc2RmYXNkZmFzZGZhc2RmYXNkZmFzZA==',
    'commit 492fc1a0b3c4d5e6f708192a3b4c5d6e7f809112',
    'INFO [LeaseRenewer:joe@box-41:9000] Client: address changed',
    'CBS    Session: 30546173_4261722401 initialized by client Update',
    'sendmail: to=root, relay=[127.0.0.1], dsn=4.0.0, stat=Deferred',
    'at wm.WindowToken.destroySurfaces:374 wm.WindowToken.stopped:400',
    'listening on akka.tcp://workerSystem@box-07:55904',
    '2026-11-30T10:00:00.000Z info shop-backend pm_id=3 pid=1234 port=13004',
  ])('is left alone: %s', (line) => {
    expect(scrubText(line)).toBe(line);
  });

  it('of 10 000 lines of real logs, at most 10 are touched', () => {
    const file = fileURLToPath(new URL('../../../../test/support/ordinary-logs.txt.gz', import.meta.url));
    const lines = gunzipSync(readFileSync(file))
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '');
    expect(lines.length).toBe(10_000);
    expect(lines.filter((line) => scrubText(line) !== line).length).toBeLessThanOrEqual(10);
  });
});

describe('any text', () => {
  it('is scrubbed once and for all, and never refused', () => {
    const pieces = fc.constantFrom(
      'password',
      ':',
      '=',
      '"',
      "'",
      '\\',
      '\n',
      ' ',
      '://',
      '@',
      'a1',
      REDACTED,
      '-----BEGIN A-----',
      'eyJhbGci0',
      '[',
      ']',
      '{',
      ',',
      '--token',
      '\u001b[31m',
      '%3D',
      '&',
      '│',
      '<',
      '>',
      'Cookie',
      ';',
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(pieces, fc.string({ unit: 'binary', maxLength: 4 })), { maxLength: 24 }),
        (words) => {
          const shown = scrubText(words.join(''));
          expect(scrubText(scrubText(shown)).length).toBeLessThanOrEqual(
            shown.length + REDACTED.length * words.length,
          );
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    'a-', 'token', 'x', 'a.', 'Basic ', '--a ', 'password=', '://', 'a:b@', '"\\', '-----BEGIN A-----', '-----END A-----\n', `${'A'.repeat(64)}\n`,
    `${'aA1'.repeat(22)}\n`, '<password>', 'password:[', 'curl ', '?a=', 'password ', 'name="a",', ' ', '\n', '=', "'a' + ", '{', 'eyJ', 'eyJaaaaa.',
    'http://hooks/', '\u001b[', 'login a password ', 'Cookie: a,\n ', 'a1', 'IDENTIFIED BY ', 'ghp_', '%3D', 'M', '1', 'sk-', "password: 'a' + ",
  ])('takes linear time, whatever it is made of: %j', (piece) => {
    const beganMs = performance.now();
    scrubText(piece.repeat(Math.ceil(300_000 / piece.length)));
    // Linear takes up to half a second on a busy machine; anything worse would take minutes.
    expect(performance.now() - beganMs).toBeLessThan(8_000);
  }); // prettier-ignore

  it('is cut where it is no line, stack or report, and no secret with it', () => {
    const shown = scrubText(
      `${'x '.repeat(524_270)}connect redis://joe:hunter2hunter2@host ${'y '.repeat(100)}`,
    );
    expect(shown.length).toBeLessThan(1_048_700);
    expect(shown).not.toContain('hunter2');
    expect(shown).toContain('characters)');
  });
});

describe('a value', () => {
  it('has texts, and names of secrets, replaced at any depth', () => {
    const value = { a: [{ note: 'token=abc' }], password: 'x', tokens: 3, apiKey: null, at: new Date(0) };
    expect(new Scrubber().json(value)).toEqual({
      a: [{ note: `token=${REDACTED}` }],
      password: REDACTED,
      tokens: 3,
      apiKey: null,
      at: new Date(0),
    });
  });
});
