/**
 * Changes that calls make to a pool while it runs, laid over what the pool's source lists:
 *
 *   listed ──edits──▶ members:  added, with another weight, draining, or left out
 *
 * An edit names what was asked for and nothing else, so that it outlives a restart and the source may change meanwhile:
 * a listed upstream whose weight no call has set follows its source, and one that the source no longer lists is gone,
 * unless a call added it.
 */
import { memberOf, type Member } from './members.js';

/** What calls have asked for one upstream; as it is kept on disk. */
export interface UpstreamEdit {
  readonly host: string;
  readonly port: number;
  /** It is in the pool though its source does not list it. */
  readonly added: boolean;
  /** null: as listed, or 1. */
  readonly weight: number | null;
  /** It takes nothing new. */
  readonly draining: boolean;
  /** It is not in the pool though its source lists it. */
  readonly removed: boolean;
}

/** By id (host:port). */
export type UpstreamEdits = ReadonlyMap<string, UpstreamEdit>;

export type EditKind = 'add' | 'change' | 'drain' | 'undrain' | 'remove';

export interface EditCommand {
  readonly kind: EditKind;
  readonly host: string;
  readonly port: number;
  /** With `add` and `change`; null: as it is, 1 where it is new. */
  readonly weight: number | null;
  /** With `drain` and `remove`: though no other upstream of the pool would take traffic. */
  readonly force: boolean;
}

export type EditResult =
  | { readonly ok: true; readonly changed: boolean; readonly id: string; readonly edits: UpstreamEdits }
  | { readonly ok: false; readonly code: 'upstream.unknown' | 'upstream.last'; readonly message: string };

/** What the pool has: the listed ones, as edited, and those that were added. */
export function editedMembers(listed: readonly Member[], edits: UpstreamEdits): readonly Member[] {
  const others = [...edits].flatMap(([id, { host, port, added }]) =>
    added && listed.every((member) => member.id !== id) ? [memberOf(host, port)] : [],
  );
  return [...listed, ...others].flatMap((member) => {
    const edit = edits.get(member.id);
    if (edit === undefined) return [member];
    if (edit.removed) return [];
    const weighted = { ...member, weight: edit.weight ?? member.weight };
    return [edit.draining ? { ...weighted, draining: true as const } : weighted];
  });
}

/** Carries out a command. Nothing is changed where what was asked for is so already. */
export function edited(listed: readonly Member[], edits: UpstreamEdits, command: EditCommand): EditResult {
  const { kind, host, port, force } = command;
  const { id } = memberOf(host, port);
  const members = editedMembers(listed, edits);
  const current = members.find((member) => member.id === id);
  const isListed = listed.some((member) => member.id === id);
  if (current === undefined && kind !== 'add') {
    if (kind === 'remove') return { ok: true, changed: false, id, edits };
    return {
      ok: false,
      code: 'upstream.unknown',
      message: `${id} is not in the pool; it has ${namesOf(members)}.`,
    };
  }
  const takesAway = kind === 'remove' || kind === 'drain';
  const others = members.filter((member) => member.id !== id && member.draining !== true);
  if (takesAway && current?.draining !== true && others.length === 0 && !force) {
    const message = `${id} is the last upstream that takes traffic. Add another one first, or send "force": true.`;
    return { ok: false, code: 'upstream.last', message };
  }
  const after = afterCommand(edits.get(id) ?? unedited(command, isListed), command, isListed);
  const next = new Map(edits);
  if (after === null || (isListed && isIdle(after))) next.delete(id);
  else next.set(id, after);
  const then = editedMembers(listed, next).find((member) => member.id === id);
  const changed = current?.weight !== then?.weight || current?.draining !== then?.draining;
  return { ok: true, changed, id, edits: changed ? next : edits };
}

/** Without what says nothing any more: of upstreams that were listed once and were not added. */
export function relevantEdits(listed: readonly Member[], edits: UpstreamEdits): UpstreamEdits {
  const ids = new Set(listed.map(({ id }) => id));
  return new Map([...edits].filter(([id, { added }]) => added || ids.has(id)));
}

/** null: nothing is left of it. */
function afterCommand(
  before: UpstreamEdit,
  { kind, weight }: EditCommand,
  isListed: boolean,
): UpstreamEdit | null {
  switch (kind) {
    case 'add':
      return {
        ...before,
        added: !isListed,
        removed: false,
        draining: false,
        weight: weight ?? before.weight,
      };
    case 'change':
      return { ...before, weight };
    case 'drain':
      return { ...before, draining: true };
    case 'undrain':
      return { ...before, draining: false };
    case 'remove':
      return isListed ? { ...before, removed: true, draining: false, weight: null } : null;
  }
}

function unedited({ host, port }: EditCommand, isListed: boolean): UpstreamEdit {
  return { host, port, added: !isListed, weight: null, draining: false, removed: false };
}

const isIdle = ({ weight, draining, removed }: UpstreamEdit): boolean =>
  weight === null && !draining && !removed;

const namesOf = (members: readonly Member[]): string =>
  members.length === 0
    ? 'none'
    : members
        .slice(0, 16)
        .map(({ id }) => id)
        .join(', ');
