/** Worker threads, one in another, with their own view of options and environment. */
'use strict';

const { isMainThread, parentPort, Worker } = require('node:worker_threads');
const { childPortrait, portrait, ready } = require('./portrait.cjs');

const ask = (depth) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { argv: [String(depth)] });
    worker.on('message', resolve);
    worker.on('error', reject);
  });

async function main() {
  const depth = Number(process.argv[2] ?? 2);
  if (isMainThread) await ready();
  const inner = depth > 0 ? await ask(depth - 1) : null;
  const told = { own: isMainThread ? portrait() : childPortrait(), inner };
  if (isMainThread) console.log(JSON.stringify(told));
  else parentPort.postMessage(told, []);
}

main();
