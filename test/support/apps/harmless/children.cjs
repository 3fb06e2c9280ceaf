/** Every way to start a child: none of them may carry an agent. */
'use strict';

const { exec, execFileSync, fork, spawn, spawnSync } = require('node:child_process');
const { childPortrait, portrait, ready } = require('./portrait.cjs');

const CHILD = '--child';

async function main() {
  if (process.argv.includes(CHILD)) {
    const told = childPortrait();
    if (process.send !== undefined) process.send(told, () => process.disconnect());
    else console.log(JSON.stringify(told));
    return;
  }
  await ready();
  const arguments_ = [__filename, CHILD];
  const children = {
    forked: await new Promise((resolve) => fork(__filename, [CHILD]).once('message', resolve)),
    spawned: await text(spawn(process.execPath, arguments_, { stdio: ['ignore', 'pipe', 'inherit'] }).stdout),
    execed: await text(exec(`"${process.execPath}" "${__filename}" ${CHILD}`).stdout),
    spawnedSync: JSON.parse(spawnSync(process.execPath, arguments_, { encoding: 'utf8' }).stdout),
    execedSync: JSON.parse(execFileSync(process.execPath, arguments_, { encoding: 'utf8' })),
    withOwnArguments: await text(
      spawn(process.execPath, [...process.execArgv, ...arguments_], { stdio: ['ignore', 'pipe', 'inherit'] })
        .stdout,
    ),
  };
  const own = portrait();
  for (const key of ['resources', 'handles']) delete own[key]; // of children that are just ending
  console.log(JSON.stringify({ own, children }));
}

async function text(stream) {
  let all = '';
  for await (const chunk of stream) all += chunk;
  return JSON.parse(all);
}

main();
