/**
 * The folders of data and logs are for this user alone, also those that an earlier version, a person or PM2 made with other
 * permissions, and so is what of ours lies in them. A folder that holds other files as well, or belongs to another user, keeps
 * its permissions: they are not ours to change, and that is said.
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { isOwn, openToLookSync, PRIVATE_FILE, PRIVATE_FOLDER } from '../../lib/ownFiles.js';
import { DATA_NAMES, DATABASE_NAMES, LOG_NAMES } from './ownNames.js';

export interface OwnFolder {
  /** For people: "data folder". */
  readonly what: string;
  readonly path: string;
  /** The group may read the folder and the files in it (log shippers). */
  readonly groupReads: boolean;
}

/** Where the group may read. */
const SHARED_FILE = 0o640;
const SHARED_FOLDER = 0o750;

/** Permissions of log files. */
export const logFileMode = (groupReads: boolean): number => (groupReads ? SHARED_FILE : PRIVATE_FILE);

const PERMISSIONS = 0o777;
const SPECIAL = 0o7000;
const WRITABLE_BY_OTHERS = 0o022;
const MOST_SHOWN = 3;

/**
 * Makes the folder where there is none, and corrects its permissions and those of our files in it.
 * @returns what a person should know, a sentence each. Never throws: a folder that can't be made or read is told of by
 *   those who need it.
 */
export function keepPrivate(folder: OwnFolder): readonly string[] {
  try {
    mkdirSync(folder.path, { recursive: true, mode: PRIVATE_FOLDER });
    const told = narrowFolder(folder);
    narrowEntries(folder);
    return told === null ? [] : [told];
  } catch {
    return [];
  }
}

function narrowFolder(folder: OwnFolder): string | null {
  const { what, path, groupReads } = folder;
  const descriptor = openSync(path, 'r');
  try {
    const status = fstatSync(descriptor);
    const wanted = groupReads ? SHARED_FOLDER : PRIVATE_FOLDER;
    const mode = status.mode & PERMISSIONS;
    const isPrivate = (mode & ~wanted) === 0;
    if (mode === wanted || (isPrivate && !groupReads)) return null;
    const reason = whyNotOurs(path, status);
    if (reason !== null) {
      if (isPrivate) return null;
      const danger = (mode & WRITABLE_BY_OTHERS) === 0 ? 'read' : 'read and change';
      return `The ${what} ${path} ${reason}, so its permissions (${octal(mode)}) are left as they are; other users may ${danger} what lies there. Give Holdfast a folder of its own.`;
    }
    fchmodSync(descriptor, (status.mode & SPECIAL) | wanted);
    const after = groupReads ? 'its owner and group' : 'its owner';
    return `The ${what} ${path} is for ${after} alone now: its permissions were ${octal(mode)} and are ${octal(wanted)}.`;
  } finally {
    closeSync(descriptor);
  }
}

/** Completes "The data folder /x …"; null: it is ours alone. */
function whyNotOurs(path: string, status: Stats): string | null {
  if (!isOwn(status)) return `belongs to uid ${status.uid}`;
  const others = readdirSync(path).filter((name) => !isOurs(join(path, name), name));
  if (others.length === 0) return null;
  const more = others.length > MOST_SHOWN ? ` and ${others.length - MOST_SHOWN} more` : '';
  return `holds other files as well (${others.slice(0, MOST_SHOWN).join(', ')}${more})`;
}

function isOurs(path: string, name: string): boolean {
  const isKnown = [DATA_NAMES, DATABASE_NAMES, LOG_NAMES].some((names) => names.test(name));
  const status = lstatSync(path, { throwIfNoEntry: false });
  return isKnown && (status === undefined || isOwn(status));
}

function narrowEntries({ path, groupReads }: OwnFolder): void {
  for (const name of readdirSync(path)) {
    if (!DATA_NAMES.test(name) && !LOG_NAMES.test(name)) continue;
    narrowEntry(join(path, name), logFileMode(groupReads));
  }
}

function narrowEntry(path: string, fileMode: number): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || !(found.isFile() || found.isDirectory())) return;
  let descriptor: number;
  try {
    descriptor = openToLookSync(path);
  } catch {
    // It has gone meanwhile, or this user may not open it: then it is not a file of Holdfast.
    return;
  }
  try {
    const status = fstatSync(descriptor);
    const wanted = status.isDirectory() ? PRIVATE_FOLDER : fileMode;
    if (isOwn(status) && (status.mode & PERMISSIONS & ~wanted) !== 0)
      fchmodSync(descriptor, (status.mode & SPECIAL) | (status.mode & wanted));
  } finally {
    closeSync(descriptor);
  }
}

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');
