import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { memberOf, type Member } from './members.js';
import {
  edited,
  editedMembers,
  relevantEdits,
  type EditCommand,
  type EditKind,
  type UpstreamEdits,
} from './upstreamEdits.js';

const LISTED = [memberOf('a', 1), memberOf('b', 1, 3)];
const NONE: UpstreamEdits = new Map();

const command = (kind: EditKind, host: string, more: Partial<EditCommand> = {}): EditCommand => ({
  kind,
  host,
  port: 1,
  weight: null,
  force: false,
  ...more,
});

/** Carries out one command after the other; what is refused changes nothing. */
function after(listed: readonly Member[], commands: readonly EditCommand[]): UpstreamEdits {
  let edits = NONE;
  for (const one of commands) {
    const result = edited(listed, edits, one);
    if (result.ok) edits = result.edits;
  }
  return edits;
}

/** "a:1;3 drain": its id, its weight, and whether it drains. */
const shown = (members: readonly Member[]): string[] =>
  members.map(({ id, weight, draining }) => `${id};${weight}${draining === true ? ' drain' : ''}`).sort();

describe('changes over what a source lists', () => {
  it.each<[string, EditCommand[], string[], boolean]>([
    ['one more', [command('add', 'c', { weight: 5 })], ['a:1;1', 'b:1;3', 'c:1;5'], true],
    ['one more without a weight', [command('add', 'c')], ['a:1;1', 'b:1;3', 'c:1;1'], true],
    ['one that is there', [command('add', 'b')], ['a:1;1', 'b:1;3'], false],
    ['one that is there, with its weight', [command('add', 'b', { weight: 3 })], ['a:1;1', 'b:1;3'], false],
    [
      'one that is there, with another weight',
      [command('add', 'b', { weight: 9 })],
      ['a:1;1', 'b:1;9'],
      true,
    ],
    ['one that drains', [command('drain', 'b'), command('add', 'b')], ['a:1;1', 'b:1;3'], true],
    ['one that was removed', [command('remove', 'b'), command('add', 'b')], ['a:1;1', 'b:1;3'], true],
    ['a weight', [command('change', 'a', { weight: 7 })], ['a:1;7', 'b:1;3'], true],
    ['the weight that it has', [command('change', 'b', { weight: 3 })], ['a:1;1', 'b:1;3'], false],
    ['a drain', [command('drain', 'a')], ['a:1;1 drain', 'b:1;3'], true],
    ['a drain twice', [command('drain', 'a'), command('drain', 'a')], ['a:1;1 drain', 'b:1;3'], false],
    ['an undrain', [command('drain', 'a'), command('undrain', 'a')], ['a:1;1', 'b:1;3'], true],
    ['an undrain of what takes traffic', [command('undrain', 'a')], ['a:1;1', 'b:1;3'], false],
    ['a removal', [command('remove', 'a')], ['b:1;3'], true],
    ['a removal of what is not there', [command('remove', 'z')], ['a:1;1', 'b:1;3'], false],
    ['a removal of what was added', [command('add', 'c'), command('remove', 'c')], ['a:1;1', 'b:1;3'], true],
    [
      'a weight and a drain',
      [command('change', 'a', { weight: 2 }), command('drain', 'a')],
      ['a:1;2 drain', 'b:1;3'],
      true,
    ],
  ])('%s', (_, commands, members, changed) => {
    const last = commands.at(-1)!;
    const before = after(LISTED, commands.slice(0, -1));
    const result = edited(LISTED, before, last);
    expect(result).toMatchObject({ ok: true, changed, id: `${last.host}:1` });
    expect(shown(editedMembers(LISTED, result.ok ? result.edits : NONE))).toEqual(members);
  });

  it.each<EditKind>(['change', 'drain', 'undrain'])(
    'does not know what to %s when it is not there',
    (kind) => {
      expect(edited(LISTED, NONE, command(kind, 'z', { weight: 2 }))).toEqual({
        ok: false,
        code: 'upstream.unknown',
        message: 'z:1 is not in the pool; it has a:1, b:1.',
      });
    },
  );

  it.each<EditKind>(['drain', 'remove'])(
    'does not %s the last one that takes traffic, unless forced',
    (kind) => {
      const edits = after(LISTED, [command('drain', 'a')]);
      expect(edited(LISTED, edits, command(kind, 'b'))).toMatchObject({ ok: false, code: 'upstream.last' });
      expect(edited(LISTED, edits, command(kind, 'b', { force: true }))).toMatchObject({
        ok: true,
        changed: true,
      });
      // It takes none already.
      expect(edited(LISTED, edits, command(kind, 'a'))).toMatchObject({ ok: true });
    },
  );

  it('follows its source in what no call has changed', () => {
    const edits = after(LISTED, [
      command('drain', 'b'),
      command('change', 'a', { weight: 4 }),
      command('add', 'c'),
    ]);
    const later = [memberOf('b', 1, 8), memberOf('d', 1)];
    expect(shown(editedMembers(later, relevantEdits(later, edits)))).toEqual([
      'b:1;8 drain',
      'c:1;1',
      'd:1;1',
    ]);
    // What was said of one that was not listed for a while is forgotten; what was added is not.
    const again = relevantEdits(LISTED, relevantEdits(later, edits));
    expect(shown(editedMembers(LISTED, again))).toEqual(['a:1;1', 'b:1;3 drain', 'c:1;1']);
  });

  it('for any commands: each address once, never none without force, and the same command changes nothing', () => {
    const anyCommand = fc.record({
      kind: fc.constantFrom<EditKind>('add', 'change', 'drain', 'undrain', 'remove'),
      host: fc.constantFrom('a', 'b', 'c', 'd'),
      port: fc.constant(1),
      weight: fc.integer({ min: 1, max: 4 }),
      force: fc.constant(false),
    });
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 20 }), (commands) => {
        const edits = after(LISTED, commands);
        const members = editedMembers(LISTED, edits);
        expect(new Set(members.map(({ id }) => id)).size).toBe(members.length);
        expect(members.some(({ draining }) => draining !== true)).toBe(true);
        const last = commands.at(-1);
        if (last === undefined) return;
        const again = edited(LISTED, edits, last);
        expect(!again.ok || !again.changed).toBe(true);
      }),
    );
  });
});
