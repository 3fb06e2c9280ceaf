/**
 * A service that tells what it should not: the texts of the JSON file TEXTS.
 *   POST /say           writes all of them to stdout and to stderr, in pieces that end anywhere
 *   POST /die?n=&of=    throws an error with the n-th part of them in its message
 *   POST /spin          blocks its main thread while the requests before it are under way
 *   GET  /wait          never answers
 */
const { readFileSync } = require('node:fs');
const http = require('node:http');

const texts = JSON.parse(readFileSync(process.env.TEXTS, 'utf8'));
const PIECE_BYTES = 997;

function pieces(stream, bytes, then) {
  if (bytes.length === 0) return then();
  stream.write(bytes.subarray(0, PIECE_BYTES), () =>
    setImmediate(pieces, stream, bytes.subarray(PIECE_BYTES), then),
  );
}

function die(n, of) {
  const length = Math.ceil(texts.length / of);
  throw new Error(`It ends.\n${texts.slice(n * length, (n + 1) * length).join('\n')}`);
}

function spinHere() {
  for (;;) Math.random();
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  const number = (name) => Number(url.searchParams.get(name));
  if (url.pathname === '/wait') return;
  if (url.pathname === '/say') {
    const all = Buffer.from(`${texts.join('\n')}\n`);
    pieces(process.stdout, all, () => pieces(process.stderr, all, () => response.end('said')));
    return;
  }
  response.end('ok');
  if (url.pathname === '/die') response.once('close', () => die(number('n'), number('of')));
  if (url.pathname === '/spin') setTimeout(spinHere, 20);
});
server.keepAliveTimeout = 1;
server.listen(Number(process.env.PORT), '127.0.0.1');
