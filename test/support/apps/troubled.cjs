/**
 * A small service that can be brought into every kind of trouble there is, while its health endpoint says that all is
 * well: `POST /trouble?kind=…&ms=…`. When the trouble begins it is written down, "<pid> <wall clock ms>" a line, in the
 * file ONSETS: whoever is in it can't tell any more.
 */
const { execSync } = require('node:child_process');
const { pbkdf2Sync } = require('node:crypto');
const { appendFileSync } = require('node:fs');
const http = require('node:http');

function blockHere(kind, ms) {
  appendFileSync(process.env.ONSETS, `${process.pid} ${Date.now()}\n`);
  const end = Date.now() + ms;
  if (kind === 'busy') while (Date.now() < end);
  if (kind === 'exec') execSync(`sleep ${ms / 1000}`);
  if (kind === 'regex') /^(a+)+$/.test(`${'a'.repeat(34)}b`);
  if (kind === 'crypto') pbkdf2Sync('a', 'b', 4e7, 64, 'sha512');
  if (kind === 'wait') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Connections to a database that never come back once they leak. */
let free = 5;
let leaks = false;
const waiting = [];

async function withConnection(work) {
  if (free === 0) await new Promise((resolve) => waiting.push(resolve));
  free -= 1;
  await work();
  if (leaks) return;
  free += 1;
  waiting.shift()?.();
}

let losesPromises = false;

async function answer(url, response) {
  if (losesPromises) await new Promise(() => {});
  const ms = Number(url.searchParams.get('ms') ?? 0);
  await withConnection(() => new Promise((resolve) => setTimeout(resolve, ms)));
  response.end(`${process.pid}`);
}

http
  .createServer((request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    if (url.pathname === '/health') {
      response.end('well');
    } else if (url.pathname === '/trouble') {
      const kind = url.searchParams.get('kind');
      const note = () => appendFileSync(process.env.ONSETS, `${process.pid} ${Date.now()}\n`);
      response.end('begins');
      if (kind === 'lost') note((losesPromises = true));
      else if (kind === 'pool') note((leaks = true));
      else if (kind === 'mended') losesPromises = false;
      // Not before the answer is out.
      else setTimeout(blockHere, 100, kind, Number(url.searchParams.get('ms') ?? 60_000));
    } else {
      void answer(url, response);
    }
  })
  .listen(Number(process.env.PORT), '127.0.0.1');
