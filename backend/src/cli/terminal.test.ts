import { describe, expect, it } from 'vitest';
import { duration, table, Terminal } from './terminal.js';

function capture(isTTY: boolean, env: Readonly<Record<string, string>> = {}) {
  let out = '';
  let err = '';
  const terminal = new Terminal(
    { isTTY, write: (text) => (out += text) },
    { isTTY, write: (text) => (err += text) },
    env,
  );
  return { terminal, out: () => out, err: () => err };
}

describe('Terminal', () => {
  it('writes plain lines where nobody watches, and each progress text once', () => {
    const { terminal, out, err } = capture(false);
    terminal.progress('waiting');
    terminal.progress('waiting');
    terminal.progress('still waiting');
    terminal.done('there');
    terminal.problem('no');
    expect(out()).toBe('… waiting\n… still waiting\n✓ there\n');
    expect(err()).toBe('✗ no\n');
  });

  it('rewrites its progress line on a terminal, and clears it before anything else', () => {
    const { terminal, out } = capture(true, { NO_COLOR: '1' });
    terminal.progress('one');
    terminal.progress('two');
    terminal.line('done');
    expect(out()).toBe('\r\u001b[K… one\r\u001b[K… two\r\u001b[Kdone\n');
  });

  it('has colours on a terminal only, unless NO_COLOR says otherwise', () => {
    expect(capture(true).terminal.paint('red', 'x')).toBe('\u001b[31mx\u001b[39m');
    expect(capture(true, { NO_COLOR: '1' }).terminal.paint('red', 'x')).toBe('x');
    expect(capture(true, { NO_COLOR: '' }).terminal.paint('red', 'x')).toBe('\u001b[31mx\u001b[39m');
    expect(capture(true, { TERM: 'dumb' }).terminal.paint('red', 'x')).toBe('x');
    expect(capture(false).terminal.paint('red', 'x')).toBe('x');
  });
});

describe('table', () => {
  it('aligns columns by their widest cell and leaves no trailing blanks', () => {
    expect(
      table(
        ['A', 'LONGER'],
        [
          ['wide cell', 'x'],
          ['y', ''],
        ],
      ),
    ).toEqual(['A          LONGER', 'wide cell  x', 'y']);
  });

  it('is only its headings without rows', () => {
    expect(table(['A', 'B'], [])).toEqual(['A  B']);
  });
});

describe('duration', () => {
  it.each([
    [0, '0 ms'],
    [949.6, '950 ms'],
    [1_000, '1.0 s'],
    [59_900, '59.9 s'],
    [60_000, '1 min 0 s'],
    [119_999, '2 min 0 s'],
    [3_600_000, '1 h 0 min'],
    [172_800_000, '2 d 0 h'],
  ])('%d ms reads %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});
