/** A process beside what is measured that keeps half a core busy: 10 ms of work in every 20 ms, at normal priority. */
import { spawn, type ChildProcess } from 'node:child_process';
import { OTHER_CORE, PROXY_CORE } from './processes.js';

const WORK_MS = 10;
const REST_MS = 10;

const PROGRAM = `
const rest = new Int32Array(new SharedArrayBuffer(4));
for (;;) {
  const began = performance.now();
  while (performance.now() - began < ${WORK_MS});
  Atomics.wait(rest, 0, 0, ${REST_MS});
}`;

export class Neighbour {
  #child: ChildProcess | null = null;

  /** On whichever of the two cores of the bench the scheduler chooses. */
  start(): void {
    const cores = `${OTHER_CORE},${PROXY_CORE}`;
    this.#child = spawn('taskset', ['--cpu-list', cores, process.execPath, '-e', PROGRAM], {
      stdio: 'ignore',
    });
    running.add(this);
  }

  end(): void {
    running.delete(this);
    this.#child?.kill('SIGKILL');
    this.#child = null;
  }
}

const running = new Set<Neighbour>();

/** For a bench that is interrupted. */
export function endNeighbours(): void {
  for (const each of running) each.end();
}
