/** Writing that lasts over a power cut: a file is synced before it gets its name, and then the directory is. */
import { open, type FileHandle } from 'node:fs/promises';
import { openOwn } from '../../lib/ownFiles.js';

/** Writes a file that only its owner may read, and waits until it is on the disk. */
export async function writeSynced(file: string, text: string): Promise<void> {
  const handle = await openOwn(file, 'replace');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a rename itself durable. Where directories can't be opened (Windows) the file system sees to it. */
export async function syncDirectory(directory: string): Promise<void> {
  let handle: FileHandle | null = null;
  try {
    handle = await open(directory, 'r');
    await handle.sync();
  } catch {
    // The new file is in place and whole; only its durability over a power cut is the file system's business now.
  } finally {
    await handle?.close().catch(() => undefined);
  }
}
