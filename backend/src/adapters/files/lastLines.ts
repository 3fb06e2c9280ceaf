/** The end of a file that others append to. */
import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { inFolder } from './inFolder.js';

const PATIENCE_MS = 3_000;

type Opener = (path: string) => Promise<FileHandle>;

/**
 * The whole lines in the last `mostBytes` of a file, blank ones left out; none when there is no such file.
 * Rejects with the file system's error when it can't be read, and when that takes longer than 3 s.
 * @param writtenSinceMs none of a file that was last written before (wall clock). Default: whenever.
 * @param opened default: any file that the path leads to.
 */
export function lastLines(
  path: string,
  mostBytes: number,
  writtenSinceMs = 0,
  opened: Opener = (place) => open(place, 'r'),
): Promise<string[]> {
  return inFolder(dirname(path), PATIENCE_MS, () => read(opened(path), mostBytes, writtenSinceMs));
}

async function read(
  opening: Promise<FileHandle>,
  mostBytes: number,
  writtenSinceMs: number,
): Promise<string[]> {
  const handle = await opening.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (handle === null) return [];
  try {
    const { size, mtimeMs } = await handle.stat();
    if (mtimeMs < writtenSinceMs) return [];
    const from = Math.max(0, size - mostBytes);
    const buffer = Buffer.alloc(size - from);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n');
    // The first one is not whole when reading began in the middle.
    if (from > 0) lines.shift();
    return lines.filter((line) => line.trim() !== '');
  } finally {
    await handle.close();
  }
}
