/**
 * Before anything else is done in a folder whose disk may hang (NFS, a dead device): most of what follows at a start waits for
 * the disk without being able to say so.
 */
import { readdir } from 'node:fs/promises';
import { waitTelling } from '../../lib/deadline.js';

export interface AwaitedFolder {
  /** For people: "data folder". */
  readonly what: string;
  readonly path: string;
}

export interface AwaitOptions {
  /** Given a sentence for people, again and again while a disk does not answer. */
  readonly tell: (sentence: string) => void;
  /** Default 10 s. */
  readonly everyMs?: number;
  /** What is asked of the disk. Default: which names are in the folder. */
  readonly look?: (path: string) => Promise<unknown>;
}

const EVERY_MS = 10_000;

/** Resolves when each disk has answered, whatever the answer. Never rejects. */
export async function awaitFolders(
  folders: readonly AwaitedFolder[],
  { tell, everyMs = EVERY_MS, look = readdir }: AwaitOptions,
): Promise<void> {
  for (const { what, path } of folders) {
    const answer = look(path).catch(() => undefined);
    await waitTelling(answer, everyMs, (waitedMs) =>
      tell(
        `The disk of the ${what} ${path} has not answered for ${Math.round(waitedMs / 1000)} s. It is waited for: nothing starts without it. Mend or remount it, and restart this process if it does not go on then.`,
      ),
    );
  }
}
