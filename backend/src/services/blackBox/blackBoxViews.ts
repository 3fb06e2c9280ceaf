/** Black boxes as the API shows them. Reads only. */
import type { BlackBoxEntry, BlackBoxFile, BlackBoxSummary } from '../../domain/blackBox/blackBox.js';
import { HoldfastError } from '../../domain/errors.js';
import type { BlackBoxView } from '../../domain/views/controlPlane.js';
import type { BlackBoxStore } from '../../ports.js';

/** Rejects with `blackbox.unknown` 404. */
export async function blackBoxView(store: BlackBoxStore, id: string): Promise<BlackBoxView> {
  const entry = await entryOf(store, id);
  const [summary, stack] = await Promise.all([store.read(id, 'summary.json'), store.read(id, 'stack.txt')]);
  if (summary === null) throw unknown(id);
  return { entry, summary: parsed(id, summary), stack };
}

/** Rejects with `blackbox.unknown` 404, and with `blackbox.no-file` 404. */
export async function blackBoxFile(store: BlackBoxStore, id: string, file: BlackBoxFile): Promise<string> {
  const { files } = await entryOf(store, id);
  const text = await store.read(id, file);
  if (text !== null) return text;
  const has = files.map(({ name }) => name).join(', ');
  throw new HoldfastError('blackbox.no-file', `The black box ${id} has no ${file}; it has ${has}.`, {
    status: 404,
  });
}

/** We wrote it ourselves, and whole; a person, or a disk, may have changed it since. */
function parsed(id: string, text: string): BlackBoxSummary {
  try {
    return JSON.parse(text) as BlackBoxSummary;
  } catch (error) {
    throw new HoldfastError(
      'blackbox.damaged',
      `The summary of the black box ${id} is no JSON any more; its other files may still be whole.`,
      { cause: error },
    );
  }
}

async function entryOf(store: BlackBoxStore, id: string): Promise<BlackBoxEntry> {
  const entry = (await store.list()).find((each) => each.id === id);
  if (entry === undefined) throw unknown(id);
  return entry;
}

function unknown(id: string): HoldfastError {
  return new HoldfastError(
    'blackbox.unknown',
    `There is no black box ${id} (any more); GET /api/ha/blackbox lists those that are kept.`,
    { status: 404 },
  );
}
