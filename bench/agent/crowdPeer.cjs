/**
 * 200 agents in one process, for their supervisor to listen to: each says hello in the name of a process that lives, and
 * then what an agent says, four times a second. As agents do, they all speak at the same moments of the clock
 * (backend/src/agent/moments.ts); those of 100 processes on two cores came within 15 ms of them, so each is late by up to
 * that, anew every time. Told by its parent: `{ path, pids }`.
 */
'use strict';

const net = require('node:net');
const { untilNextMomentMs } = require('../../backend/dist/agent/moments.js');

const INTERVAL_MS = 250;
const MOST_LATE_MS = 15;
const JOIN_INTERVAL_MS = 10;
const REQUESTS = 25;

function figures(seq) {
  const finished = seq * REQUESTS;
  const wave = seq % 40;
  return {
    type: 'figures',
    seq,
    beatAgeMs: seq % 50,
    elu: Number((0.2 + wave / 100).toFixed(3)),
    delayP50Ms: 0.4,
    delayP99Ms: 3.1 + wave / 10,
    delayMaxMs: 3.1 + wave / 10,
    rssBytes: 91_234_304 + wave * 4_096,
    heapUsedBytes: 31_184_904 + wave * 80_128,
    heapLimitBytes: 4_345_298_944,
    liveHeapBytes: 24_912_112,
    majorGcs: Math.floor(seq / 40),
    externalBytes: 3_340_496,
    active: 3,
    unanswered: 2,
    oldestUnansweredMs: 23,
    unansweredOverdue: 0,
    sinceFinishedMs: 7,
    finished,
    aborted: 1,
    statuses: [0, finished - 12, 8, 3, 1],
    latency: [12, 9, 13, 7, 14, 4, 17, 3, 22, 2],
    latencySumMs: 61.4,
    connections: 12,
    debugged: false,
    dropped: 0,
  };
}

function join(path, pid) {
  const socket = net.connect({ path });
  const say = (message) => socket.write(`${JSON.stringify(message)}\n`);
  socket.on('error', (error) => {
    console.error(error.message);
    process.exit(1);
  });
  socket.once('connect', () =>
    say({ type: 'hello', protocol: 1, pid, agent: 'bench', node: process.version, startedAtMs: Date.now() }),
  );
  socket.once('data', () => {
    joined += 1;
    process.send({ joined });
    let seq = 0;
    atEveryMoment(() => say(figures((seq += 1))));
  });
}

function atEveryMoment(run) {
  setTimeout(
    () => {
      setTimeout(run, Math.random() * MOST_LATE_MS);
      atEveryMoment(run);
    },
    untilNextMomentMs(INTERVAL_MS, Date.now()),
  );
}

let joined = 0;
process.once('message', ({ path, pids }) => {
  // One after the other: of a crowd that has not said who it is yet, a supervisor keeps only so many.
  for (const [index, pid] of pids.entries()) setTimeout(join, index * JOIN_INTERVAL_MS, path, pid);
});
process.once('disconnect', () => process.exit(0));
