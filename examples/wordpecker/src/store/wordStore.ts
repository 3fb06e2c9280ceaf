/**
 * What the word lists need of a database. Two implementations, held to one contract (test/support/wordStoreContract.ts):
 * SQLite in a file that all instances on a machine share, and MySQL.
 *
 * Every call rejects with `AppError` `store.unavailable` (503, retryable) while the database cannot be reached
 * and works again by itself when it is back.
 */
import { AppError } from '../lib/errors.js';

export interface ListSummary {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  /** Who was logged in when it was made; null: nobody. */
  readonly owner: string | null;
  readonly createdAtMs: number;
  readonly wordCount: number;
}

export interface Word {
  readonly id: string;
  readonly term: string;
  readonly meaning: string;
}

export interface WordList extends Omit<ListSummary, 'wordCount'> {
  /** In the order of their terms. */
  readonly words: readonly Word[];
}

export interface NewList {
  readonly name: string;
  readonly description: string;
  readonly owner: string | null;
}

export interface ListChange {
  readonly name: string | null;
  readonly description: string | null;
}

export interface NewWord {
  readonly term: string;
  readonly meaning: string;
}

export type AddWordsResult =
  | { readonly kind: 'added'; readonly list: WordList }
  | { readonly kind: 'no-such-list' }
  /** Nothing was added. */
  | { readonly kind: 'too-many' };

export interface WordStore {
  /** Newest first. */
  page(
    limit: number,
    offset: number,
  ): Promise<{ readonly lists: readonly ListSummary[]; readonly total: number }>;
  find(id: string): Promise<WordList | null>;
  create(list: NewList): Promise<WordList>;
  /** What is null stays as it is. Resolves to null when there is no such list. */
  update(id: string, change: ListChange): Promise<WordList | null>;
  /** False when there was none. */
  remove(id: string): Promise<boolean>;
  /** All or none. A term that the list has already gets the new meaning: adding twice is harmless. */
  addWords(id: string, words: readonly NewWord[]): Promise<AddWordsResult>;
  /** False when there was none. */
  removeWord(id: string, wordId: string): Promise<boolean>;
  /** Resolves when the database answers. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

export const MAX_WORDS_PER_LIST = 1000;

/** For the client: it learns that it may try again, not where the database is or what exactly ails it. */
export function storeUnavailable(cause: unknown): AppError {
  return new AppError(
    'store.unavailable',
    'the database of the word lists does not answer; try again shortly',
    {
      status: 503,
      retryAfterSeconds: 1,
      cause,
    },
  );
}
