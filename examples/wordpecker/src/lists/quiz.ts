import type { Word } from '../store/wordStore.js';

export interface Question {
  readonly wordId: string;
  readonly meaning: string;
  /** Up to four terms in random order; one of them is right. */
  readonly choices: readonly string[];
  readonly answer: string;
}

const CHOICES = 4;

/**
 * Asks up to `count` words of the list, each at most once.
 * @param random in [0, 1), e.g. Math.random.
 */
export function makeQuiz(words: readonly Word[], count: number, random: () => number): Question[] {
  return shuffled(words, random)
    .slice(0, count)
    .map((word) => {
      const others = words.filter((other) => other.id !== word.id);
      const wrong = shuffled(others, random).slice(0, CHOICES - 1);
      const choices = shuffled([word, ...wrong], random).map(({ term }) => term);
      return { wordId: word.id, meaning: word.meaning, choices, answer: word.term };
    });
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
