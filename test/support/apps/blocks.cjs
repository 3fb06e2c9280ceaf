/**
 * A server whose main thread can be blocked in every way there is. `POST /<kind>` prepares what the kind needs, writes
 * `onset <ms of the machine's monotonic clock>` to stdout as the last thing it does, and calls `blockHere`. It is not
 * meant to come back within any test, unless told `?ms=`; what is native comes back by itself. Needs --expose-gc for what collects.
 */
const { execSync } = require('node:child_process');
const { createHash, pbkdf2Sync } = require('node:crypto');
const { writeSync } = require('node:fs');
const http = require('node:http');
const { Session } = require('node:inspector');
const { Worker } = require('node:worker_threads');

const clockMs = () => Number(process.hrtime.bigint()) / 1e6;
const say = (word, value) => writeSync(1, `${word} ${value}\n`);

/** What must exist before the block begins. */
const prepared = {
  sort: () => Array.from({ length: 1.2e6 }, Math.random),
  hash: () => Buffer.alloc(2 ** 31 - 1),
};

function blockHere(kind, ms, material) {
  say('onset', clockMs());
  const end = Date.now() + ms;
  if (kind === 'busy') while (Date.now() < end);
  if (kind === 'exec') execSync(`sleep ${ms / 1000}`);
  if (kind === 'regex') /^(a+)+$/.test(`${'a'.repeat(34)}b`);
  if (kind === 'crypto') pbkdf2Sync('a', 'b', 4e7, 64, 'sha512');
  if (kind === 'wait') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  if (kind === 'sort') material.sort();
  if (kind === 'hash') while (Date.now() < end) createHash('sha512').update(material);
}

/** Lives on, so that the collector has something to look at. */
const heap = [];

/** About a megabyte of small objects that point at each other: the slowest kind of heap to mark. */
function grow() {
  let list = null;
  for (let node = 0; node < 10_000; node += 1) list = { next: list, value: { node, half: node / 2 } };
  heap.push(list);
}

/** That many megabytes in steps that block nobody; then says so. */
function fill(megabytes, pauseMs) {
  grow();
  if (megabytes > 1) setTimeout(fill, pauseMs, megabytes - 1, pauseMs);
  else say('filled', heap.length);
}

function collect() {
  const startedMs = clockMs();
  globalThis.gc();
  say('collected', clockMs() - startedMs);
}

/**
 * Stalls of 100 to 800 ms, of which it says how long they really took, and full collections, each followed by a little
 * life, until the process is ended.
 */
function stumble() {
  setTimeout(stumble, 60 + Math.random() * 200);
  const kind = Math.floor(Math.random() * 4);
  if (kind === 0) {
    collect();
    return;
  }
  const ms = 100 + Math.random() * 700;
  const startedMs = clockMs();
  if (kind === 1) while (clockMs() < startedMs + ms);
  if (kind === 2) execSync(`sleep ${ms / 1000}`);
  if (kind === 3) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  say('stalled', clockMs() - startedMs);
}

/** A thread of the application stops the main thread for a while, as tools do that look into exceptions. */
function pausedByOwnThread(ms) {
  say('onset', clockMs());
  // It outlives its session: a thread that ends with one may take the process with it (Node 20).
  const code = `
    setInterval(() => {}, 1_000);
    const session = new (require('node:inspector').Session)();
    session.connectToMainThread();
    session.on('Debugger.paused', () => setTimeout(() => {
      session.post('Debugger.resume', () => session.disconnect());
      require('node:worker_threads').parentPort.postMessage('resumed');
    }, ${ms}));
    session.post('Debugger.enable', () => session.post('Debugger.pause'));
  `;
  new Worker(code, { eval: true, execArgv: [] }).once('message', (word) => say(word, clockMs()));
}

/** Has a debugger of its own, enabled, in the main thread. */
function ownSession() {
  const session = new Session();
  session.connect();
  session.post('Debugger.enable');
  session.post('Debugger.setPauseOnExceptions', { state: 'uncaught' });
}

/** What the next request does before it is answered: blocked while it handles a request, as real ones are. */
let beforeNext = () => {};

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://127.0.0.1');
  if (request.method === 'GET') {
    beforeNext();
    response.end('well');
    return;
  }
  const kind = url.pathname.slice(1);
  const ms = Number(url.searchParams.get('ms') ?? 60_000);
  response.writeHead(202).end();
  if (kind === 'fill') fill(Number(url.searchParams.get('megabytes')), ms);
  else if (kind === 'collect') collect();
  else if (kind === 'stumble') stumble();
  else if (kind === 'paused') pausedByOwnThread(ms);
  else if (kind === 'session') ownSession();
  else if (kind === 'inspect') {
    require('node:inspector').open(0, '127.0.0.1');
    say('inspector', require('node:inspector').url());
  } else {
    const material = prepared[kind]?.();
    // A while after the preparations, which block, too.
    setTimeout(() => {
      beforeNext = () => {
        beforeNext = () => {};
        blockHere(kind, ms, material);
      };
    }, 300);
  }
});
server.listen(0, '127.0.0.1', () => say('port', server.address().port));
