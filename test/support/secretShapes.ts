/** Ways in which secrets are written, each as a text around a given one; and secrets to put into them. */
import { inspect } from 'node:util';
import fc from 'fast-check';

export interface SecretShape {
  readonly shape: string;
  /** A text with the secret in it. */
  readonly write: (secret: string) => string;
  /** It can only be written with letters and digits. */
  readonly plain?: true;
}

const shape = (name: string, write: (secret: string) => string): SecretShape => ({ shape: name, write });
const plain = (name: string, write: (secret: string) => string): SecretShape => ({
  shape: name,
  write,
  plain: true,
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const pem = (secret: string): string =>
  `MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA${secret}`.padEnd(64, 'q7Z').slice(0, 64);

export const SECRET_SHAPES: readonly SecretShape[] = [
  shape('Cookie', (s) => `> Cookie: lang=en; sid=${s}; theme=dark`),
  shape('Set-Cookie', (s) => `set-cookie: sid=${s}; Path=/; HttpOnly`),
  shape('Set-Cookie, as inspect shows it', (s) => inspect({ headers: { 'set-cookie': [`sid=${s}; Path=/`, 'b=c'] } })),
  shape('Authorization: Token', (s) => `Authorization: Token ${s}`),
  shape('Authorization: Digest', (s) => `authorization: Digest username="joe", nonce="n", response="${s}"`),
  shape('Authorization without a scheme', (s) => `AUTHORIZATION:${s}`),
  shape('Proxy-Authorization', (s) => `Proxy-Authorization: Basic ${s}`),
  shape('rawHeaders', (s) => inspect(['Host', 'x', 'Authorization', `Token ${s}`])),
  shape('a header field in a quoted request', (s) => JSON.stringify(`GET / HTTP/1.1\r\nCookie: a=${s}\r\nHost: x\r\n\r\n`)),
  plain('bearer in small letters', (s) => `sent with bearer ${s} to the api`),
  plain('BEARER', (s) => `BEARER ${s}`),
  shape('--password x', (s) => `node app.js --password ${s} --port 80`),
  shape('--token=x', (s) => `node app.js --token=${s} --port=80`),
  shape('--api-key "x"', (s) => `run --api-key "${s}" now`),
  shape('a list of arguments', (s) => JSON.stringify(['node', 'app.js', '--db-password', s, '--port', '80'])),
  plain('mysql -px', (s) => `sh: mysql -u root -p${s} shop`),
  plain('docker login -p x', (s) => `docker login -u joe -p ${s} registry.example`),
  plain('redis-cli -a x', (s) => `redis-cli -h cache -a ${s} PING`),
  plain('curl -u', (s) => `curl -s -u joe:${s} https://x.example/`),
  shape('curl -H', (s) => `curl -H 'X-Api-Key: ${s}' https://x.example/`),
  shape('pwd=', (s) => `Server=db;Uid=sa;Pwd=${s};Encrypt=yes`),
  shape('password: x', (s) => `password: ${s}`),
  shape('JSON', (s) => JSON.stringify({ level: 30, password: s, msg: 'up' })),
  shape('JSON, with escaped quotes', (s) => JSON.stringify({ password: `a"b\\${s}"`, n: 1 })),
  shape('JSON in JSON', (s) => JSON.stringify({ msg: JSON.stringify({ clientSecret: `q"${s}`, n: 1 }) })),
  shape('JSON in JSON in JSON', (s) => JSON.stringify(JSON.stringify(JSON.stringify({ apiKey: `q"${s}`, n: 1 })))),
  shape('inspect', (s) => inspect({ db: { user: 'joe', password: s } })),
  shape('inspect, in colours', (s) => inspect({ db: { user: 'joe', password: s, port: 1 } }, { colors: true })),
  shape('inspect, in colours, in JSON', (s) => JSON.stringify({ msg: inspect({ dbPass: s }, { colors: true }) })),
  shape('inspect, over several lines', (s) => inspect({ passphrase: `${'long '.repeat(20)}\n${s}\n`.repeat(2), n: 1 })),
  shape('inspect of a Map', (s) => inspect(new Map([['accessToken', s]]))),
  shape('a coloured name', (s) => `\u001b[35mpassword\u001b[39m=\u001b[32m${s}\u001b[39m`),
  plain('a JWT', (s) => `got eyJhbGciOiJIUzI1NiJ9.${base64(`{"sub":"${s}"}`).replace(/=+$/, '')}.${s}aa from x`),
  plain('a JWT that was cut', (s) => `got eyJhbGciOiJIUzI1NiJ9${s}`),
  plain('a PEM block', (s) => `-----BEGIN RSA PRIVATE KEY-----\n${pem(s)}\n${s}==\n-----END RSA PRIVATE KEY-----\nafter`),
  plain('a PEM block in JSON', (s) => JSON.stringify({ cert: `-----BEGIN PRIVATE KEY-----\n${pem(s)}\n-----END PRIVATE KEY-----\n` })),
  plain('a PEM block without its end', (s) => `-----BEGIN EC PRIVATE KEY-----\n${pem(s)}\n${pem(s)}`),
  plain('a PEM block without its beginning', (s) => `${pem(s)}\n${s}=\n-----END PRIVATE KEY-----`),
  plain('a line from within a PEM block', (s) => `3|api  | ${pem(s)}`),
  shape('userinfo of a URL', (s) => `connect postgres://joe:${s}@db.example:5432/shop failed`),
  shape('userinfo with an @ in it', (s) => `connect amqp://joe:a@${s}@mq.example/ failed`),
  shape('a password alone in a URL', (s) => `REDIS_URL=redis://:${s}@cache:6379/0`),
  plain('a URL that was cut', (s) => `connect mysql://joe:${s}`),
  plain('a DSN of Go', (s) => `dsn root:${s}@tcp(db:3306)/shop`),
  plain('an account without a scheme', (s) => `joe:${s}@db.example:3306`),
  plain('a parameter of a query', (s) => `GET /cb?lang=en&access_token=${s}&x=1 HTTP/1.1`),
  plain('code= in a query', (s) => `https://x.example/cb?code=${s}&state=abc`),
  plain('a query in a query', (s) => `https://x.example/login?next=%2Fcb%3Ftoken%3D${s}%26x%3D1`),
  plain('a URL signed for S3', (s) => `https://b.example/o?X-Amz-Signature=${s}&X-Amz-Expires=60`),
  plain('GitHub', (s) => `fatal: ghp_${s}aaaaaaaa`),
  plain('Slack', (s) => `xoxb-12345678-${s}`),
  plain('Stripe', (s) => `key sk_live_${s} used`),
  plain('npm', (s) => `npm_${s}aaaaaaaaaaaaaaaaaaaaaaaa`),
  plain('GitLab', (s) => `glpat-${s}aaaa`),
  plain('a webhook of Slack', (s) => `POST https://hooks.slack.com/services/T00000000/B00000000/${s}`),
  plain('a webhook of Discord', (s) => `POST https://discord.com/api/webhooks/1234567890/${s}`),
  shape('MYSQL_PASSWORD=', (s) => `MYSQL_PASSWORD=${s}`),
  shape('DB_PASS=', (s) => `export DB_PASS=${s}`),
  shape('API_KEY=', (s) => `API_KEY="${s}"`),
  shape('apiKey:', (s) => `{ apiKey: '${s}', url: 'x' }`),
  shape('clientSecret =', (s) => `clientSecret = '${s}'`),
  shape('PGPASSWORD', (s) => `PGPASSWORD=${s} psql`),
  shape('YAML', (s) => `db:\n  password: "${s}"\n  port: 1`),
  plain('a block of YAML', (s) => `secret: |\n  ${s}`),
  plain('XML', (s) => `<user>joe</user><password>${s}</password>`),
  shape('a variable as Kubernetes writes it', (s) => `{ name: 'DB_PASSWORD', value: '${s}' }`),
  plain('a table', (s) => `│ HA_API_TOKEN │ ${s} │`),
  plain('netrc', (s) => `machine x.example login joe password ${s}`),
  plain('SQL', (s) => `CREATE USER joe IDENTIFIED BY '${s}'`),
  plain('a sentence', (s) => `The password for joe is ${s}.`),
  shape('hexadecimal', (s) => `session_secret=${Buffer.from(s).toString('hex')}`),
  shape('base64', (s) => `SIGNING_KEY: ${base64(s)}`),
]; // prettier-ignore

const LETTERS_AND_DIGITS = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';
/** What password generators use beside letters and digits, but for spaces, quotes, and brackets. */
const SYMBOLS = '_-+/=!#$%^*~.@';

/** @returns one with a digit in it, as generators make them. */
export const secrets = (isPlain: boolean): fc.Arbitrary<string> => {
  const inner = isPlain ? LETTERS_AND_DIGITS : LETTERS_AND_DIGITS + SYMBOLS;
  const letters = fc.array(fc.constantFrom(...inner), { minLength: 10, maxLength: 24 });
  return letters.map((characters) => `k${characters.join('')}7q`);
};

/** Whether a text shows the secret, or a part of it that is long enough to help, also encoded. */
export function shows(text: string, secret: string): boolean {
  const parts = [secret.slice(0, 9), secret.slice(-9), secret];
  const forms = parts.flatMap((part) => [part, Buffer.from(part).toString('hex')]);
  return [...forms, base64(secret).slice(0, 12)].some((form) => text.includes(form));
}
