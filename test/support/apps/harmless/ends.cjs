/** Ends in the way that its argument names. */
'use strict';

const { ready } = require('./portrait.cjs');

function thrower() {
  throw new Error('on purpose');
}

async function main() {
  await ready();
  setInterval(() => undefined, 1_000);
  switch (process.argv[2]) {
    case 'throw':
      return void setImmediate(thrower);
    case 'reject':
      return void Promise.reject(new Error('rejected on purpose'));
    case 'exit':
      process.on('exit', (code) => console.log(`exit ${code}`));
      return process.exit(5);
    case 'SIGTERM':
    case 'SIGKILL':
      return void process.kill(process.pid, process.argv[2]);
    case 'abort':
      return process.abort();
    case 'heap': {
      const kept = [];
      for (;;) kept.push(Array.from({ length: 10_000 }, () => kept.length));
    }
  }
}

main();
