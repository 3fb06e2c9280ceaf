/** An application that inspects itself: a profile, its heap, a script, and a breakpoint that it goes on from. */
'use strict';

const inspector = require('node:inspector/promises');
const { portrait, ready } = require('./portrait.cjs');

async function main() {
  await ready();
  const session = new inspector.Session();
  session.connect();
  const paused = [];
  session.on('Debugger.paused', ({ params }) => {
    paused.push(params.callFrames[0].functionName);
    session.post('Debugger.resume');
  });
  await session.post('Debugger.enable');
  await session.post('Profiler.enable');
  await session.post('Profiler.start');
  const { result } = await session.post('Runtime.evaluate', { expression: '6 * 7' });
  const { profile } = await session.post('Profiler.stop');
  await session.post('HeapProfiler.enable');
  let chunks = 0;
  session.on('HeapProfiler.addHeapSnapshotChunk', () => (chunks += 1));
  await session.post('HeapProfiler.takeHeapSnapshot');
  session.disconnect();
  console.log(
    JSON.stringify({
      own: portrait(),
      result,
      profiled: profile.nodes.length > 0,
      snapshot: chunks > 0,
      paused,
      url: inspector.url(),
    }),
  );
}

main();
