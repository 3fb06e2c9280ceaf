import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeQuiz } from './quiz.js';

describe('makeQuiz', () => {
  it('asks each word at most once, with the right answer among distinct choices', () => {
    const words = fc
      .uniqueArray(fc.string({ minLength: 1 }), { maxLength: 30 })
      .map((terms) => terms.map((term, index) => ({ id: `w${index}`, term, meaning: `means ${term}` })));
    fc.assert(
      fc.property(
        words,
        fc.integer({ min: 1, max: 50 }),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        (list, count, randoms) => {
          const quiz = makeQuiz(list, count, () => randoms.next().value as number);
          expect(quiz).toHaveLength(Math.min(count, list.length));
          expect(new Set(quiz.map(({ wordId }) => wordId)).size).toBe(quiz.length);
          for (const { wordId, meaning, choices, answer } of quiz) {
            const word = list.find(({ id }) => id === wordId);
            expect(word).toMatchObject({ meaning, term: answer });
            expect(choices).toContain(answer);
            expect(new Set(choices).size).toBe(Math.min(4, list.length));
            expect(choices).toHaveLength(Math.min(4, list.length));
          }
        },
      ),
    );
  });
});
