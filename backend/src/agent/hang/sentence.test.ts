import { describe, expect, it } from 'vitest';
import { sentence, type Circumstances } from './sentence.js';

const stack = [
  'wait (node:internal/util:10:3)',
  'blockHere (/app/server.js:10:5)',
  'Server.<anonymous> (/app/server.js:3:1)',
];
const base: Circumstances = {
  silentMs: 1_049,
  where: 'native',
  stack: [],
  crumb: null,
  state: 'R',
  cpuShare: 1,
  children: [],
  heapShare: 0.3,
};

describe('the sentence of a hang', () => {
  it('names the innermost function of the application', () => {
    expect(sentence({ ...base, where: 'javascript', stack })).toBe(
      'blocked for 1.0 s in blockHere (/app/server.js:10:5)',
    );
  });

  it('names Node when there is nothing of the application, and JavaScript when there is nothing at all', () => {
    expect(sentence({ ...base, where: 'javascript', stack: stack.slice(0, 1) })).toContain('in wait (node:');
    expect(sentence({ ...base, where: 'javascript' })).toBe('blocked for 1.0 s in JavaScript');
  });

  it('says what a breadcrumb says', () => {
    const crumb = { what: 'a child process (sleep)', stack };
    expect(sentence({ ...base, stack, crumb, cpuShare: 0 })).toBe(
      'blocked for 1.0 s waiting for a child process (sleep), called by blockHere (/app/server.js:10:5)',
    );
  });

  it('tells native work, a full heap, a system call and a disk apart', () => {
    expect(sentence(base)).toBe(
      'blocked for 1.0 s in native code (100 % of a core), such as parsing, sorting or an addon',
    );
    expect(sentence({ ...base, heapShare: 0.97 })).toContain('collecting garbage: its heap is 97 % full');
    const children = [{ pid: 77, name: 'sleep', state: 'S' }];
    expect(sentence({ ...base, cpuShare: 0.01, state: 'S', children })).toBe(
      'blocked for 1.0 s in a system call (asleep; its latest child process is sleep, pid 77)',
    );
    expect(sentence({ ...base, cpuShare: 0, state: 'D' })).toContain('waiting for a disk');
  });

  it('says where native code came back, which need not be what called it', () => {
    expect(sentence({ ...base, stack })).toContain('or an addon, and came back in blockHere (/app/server.js');
  });

  it('invents nothing where nothing is known', () => {
    expect(sentence({ ...base, where: 'unknown', cpuShare: 0.02 })).toBe(
      'blocked for 1.0 s; where is not known, because the machine is so busy that its main thread hardly ran',
    );
    expect(sentence({ ...base, state: null, cpuShare: null })).toBe(
      'blocked for 1.0 s in native code, such as parsing, sorting or an addon',
    );
  });
});
