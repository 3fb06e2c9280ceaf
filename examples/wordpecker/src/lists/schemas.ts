/** What clients may send about word lists. */
import { z } from 'zod';
import { MAX_WORDS_PER_LIST } from '../store/wordStore.js';

const name = z.string().trim().min(1).max(80);
const description = z.string().trim().max(500);

export const newListSchema = z.strictObject({ name, description: description.default('') });

export const changedListSchema = z
  .strictObject({ name: name.optional(), description: description.optional() })
  .refine((change) => change.name !== undefined || change.description !== undefined, {
    error: 'give name, description or both',
  });

const word = z.strictObject({
  term: z.string().trim().min(1).max(80),
  meaning: z.string().trim().min(1).max(500),
});

/** One word, or `{words: […]}` with up to 100. */
export const newWordsSchema = z.union([
  word.transform((one) => [one]),
  z.strictObject({ words: z.array(word).min(1).max(100) }).transform(({ words }) => words),
]);

const whole = (min: number, max: number, fallback: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'give a whole number')
    .transform(Number)
    .pipe(z.number().min(min).max(max))
    .default(fallback);

export const pageSchema = z.object({ limit: whole(1, 200, 50), offset: whole(0, 1_000_000, 0) });

export const quizSchema = z.object({ questions: whole(1, 50, 10) });

/** The text of the refusal when a list would grow too long. */
export const TOO_MANY_WORDS = `a list holds at most ${MAX_WORDS_PER_LIST} words: start another one`;
