/** Black boxes in memory: whole entries, as they were handed over, and a disk that can refuse. */
import { BLACK_BOX_FILES } from '../../backend/src/domain/blackBox/blackBox.js';
import type {
  BlackBoxEntry,
  BlackBoxFile,
  BlackBoxSummary,
} from '../../backend/src/domain/blackBox/blackBox.js';
import type { BlackBoxPieces, BlackBoxStore, StderrLog } from '../../backend/src/ports.js';

export interface KeptBox {
  readonly summary: BlackBoxSummary;
  readonly pieces: BlackBoxPieces;
}

export class MemoryBlackBoxes implements BlackBoxStore {
  readonly boxes = new Map<string, KeptBox>();
  saves = 0;
  /** For a day of faults, of which no test looks at the boxes. */
  keepsNothing = false;
  refuses = false;
  /** What is read is not what was written. */
  damaged = false;
  /** A disk that takes its time: saves wait for it. */
  gate: Promise<void> | null = null;
  #failed = 0;

  get all(): readonly KeptBox[] {
    return [...this.boxes.values()];
  }

  async save(summary: BlackBoxSummary, pieces: BlackBoxPieces): Promise<boolean> {
    this.saves += 1;
    await this.gate;
    if (this.refuses) {
      this.#failed += 1;
      return false;
    }
    if (this.keepsNothing) return true;
    const before = this.boxes.get(summary.id);
    // What can't be written as JSON can't be kept.
    const kept = JSON.parse(JSON.stringify(summary)) as BlackBoxSummary;
    this.boxes.set(summary.id, { summary: kept, pieces: { ...before?.pieces, ...pieces } });
    return true;
  }

  list(): Promise<readonly BlackBoxEntry[]> {
    return Promise.resolve(this.all.map(({ summary }) => entryOf(summary)));
  }

  read(id: string, file: BlackBoxFile): Promise<string | null> {
    const box = this.boxes.get(id);
    if (box === undefined || file !== BLACK_BOX_FILES[0]) return Promise.resolve(null);
    return Promise.resolve(this.damaged ? '{' : JSON.stringify(box.summary));
  }

  dropped(): number {
    return this.#failed;
  }
}

function entryOf({ id, service, pmId, at, cause, detail, outcome }: BlackBoxSummary): BlackBoxEntry {
  return { id, service, pmId, at, cause, detail, outcome: outcome?.kind ?? null, bytes: 0, files: [] };
}

export const noStderr: StderrLog = { lastLines: () => Promise.resolve(null) };
