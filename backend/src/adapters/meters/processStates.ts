/** What the kernel says of a process (proc_pid_stat(5), field 3). Linux only: elsewhere nobody tells without a helper. */
import { readFileSync } from 'node:fs';
import type { ProcessStates } from '../../ports.js';

export const processStates: ProcessStates = {
  stateOf(pid) {
    let line: string;
    try {
      line = readFileSync(`/proc/${pid}/stat`, 'latin1');
    } catch {
      return null;
    }
    // The second field is the name in parentheses and may hold anything, also spaces and parentheses.
    return parseState(line[line.lastIndexOf(')') + 2] ?? '');
  },
};

function parseState(letter: string): ReturnType<ProcessStates['stateOf']> {
  if (letter === 'T') return 'stopped';
  if (letter === 't') return 'traced';
  return 'RSDIW'.includes(letter) && letter !== '' ? 'running' : null;
}
