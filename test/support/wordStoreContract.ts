import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { MAX_WORDS_PER_LIST, type WordStore } from '../../examples/wordpecker/src/store/wordStore.js';

/** What every WordStore promises. `open` gives one more handle on the same database. */
export function wordStoreContract(open: () => WordStore): void {
  const with_ = async <T>(work: (store: WordStore) => Promise<T>): Promise<T> => {
    const store = open();
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  };
  const list = { name: 'Öl & Brot 🥖', description: 'it\'s "quoted"', owner: 'ana' };

  it('gives back what was stored, to another handle too', async () => {
    await with_(async (store) => {
      const made = await store.create(list);
      expect(made).toMatchObject({ ...list, words: [] });
      expect(made.createdAtMs).toBeGreaterThan(1_600_000_000_000);
      expect(await with_((other) => other.find(made.id))).toEqual(made);
    });
  });

  it('answers null or false for what is not there', async () => {
    await with_(async (store) => {
      const id = randomUUID();
      expect(await store.find(id)).toBeNull();
      expect(await store.update(id, { name: 'x', description: null })).toBeNull();
      expect(await store.remove(id)).toBe(false);
      expect(await store.removeWord(id, id)).toBe(false);
      expect(await store.addWords(id, [{ term: 'a', meaning: 'b' }])).toEqual({ kind: 'no-such-list' });
    });
  });

  it('changes only what is given', async () => {
    await with_(async (store) => {
      const { id } = await store.create(list);
      expect(await store.update(id, { name: 'new', description: null })).toMatchObject({
        name: 'new',
        description: list.description,
      });
      expect(await store.update(id, { name: null, description: '' })).toMatchObject({
        name: 'new',
        description: '',
      });
      // The same again changes no row and is still found.
      expect(await store.update(id, { name: 'new', description: '' })).toMatchObject({ id });
    });
  });

  it('pages newest first and counts words', async () => {
    await with_(async (store) => {
      const before = (await store.page(1, 0)).total;
      const first = await store.create({ ...list, name: 'first' });
      await waitForNextMillisecond();
      const second = await store.create({ ...list, name: 'second' });
      await store.addWords(first.id, [
        { term: 'b', meaning: '2' },
        { term: 'a', meaning: '1' },
      ]);
      const page = await store.page(2, 0);
      expect(page.total).toBe(before + 2);
      expect(page.lists.map(({ id, wordCount }) => ({ id, wordCount }))).toEqual([
        { id: second.id, wordCount: 0 },
        { id: first.id, wordCount: 2 },
      ]);
      expect((await store.page(1, 1)).lists.map(({ id }) => id)).toEqual([first.id]);
    });
  });

  it('keeps terms in order and once each, and tells case and accents apart', async () => {
    await with_(async (store) => {
      const { id } = await store.create(list);
      await store.addWords(id, [
        { term: 'b', meaning: '1' },
        { term: 'B', meaning: '2' },
        { term: 'é', meaning: '3' },
        { term: 'e', meaning: '4' },
      ]);
      const result = await store.addWords(id, [{ term: 'b', meaning: 'changed' }]);
      const words = result.kind === 'added' ? result.list.words : [];
      expect(words.map(({ term, meaning }) => [term, meaning])).toEqual([
        ['B', '2'],
        ['b', 'changed'],
        ['e', '4'],
        ['é', '3'],
      ]);
      expect(await store.removeWord(id, words[0]?.id ?? '')).toBe(true);
      expect((await store.find(id))?.words).toHaveLength(3);
    });
  });

  it('takes the words along when a list goes', async () => {
    await with_(async (store) => {
      const { id } = await store.create(list);
      const added = await store.addWords(id, [{ term: 'a', meaning: 'b' }]);
      const wordId = added.kind === 'added' ? (added.list.words[0]?.id ?? '') : '';
      expect(await store.remove(id)).toBe(true);
      expect(await store.find(id)).toBeNull();
      expect(await store.removeWord(id, wordId)).toBe(false);
    });
  });

  it('adds all words or none, also when handles race for the last places of a list', async () => {
    await with_(async (store) => {
      const { id } = await store.create(list);
      const batch = (name: string, count: number) =>
        Array.from({ length: count }, (_, index) => ({ term: `${name}${index}`, meaning: 'm' }));
      for (let part = 0; part < 9; part += 1) await store.addWords(id, batch(`base${part}-`, 100));
      const results = await Promise.all(
        ['x', 'y', 'z'].map((name) => with_((other) => other.addWords(id, batch(name, 60)))),
      );
      expect(results.map(({ kind }) => kind).sort()).toEqual(['added', 'too-many', 'too-many']);
      expect((await store.find(id))?.words).toHaveLength(960);
      expect(MAX_WORDS_PER_LIST).toBe(1000);
    });
  });

  it('prepares an empty database from several handles at once and loses no write of any of them', async () => {
    const before = await with_(async (store) => (await store.page(1, 0)).total);
    await Promise.all(
      Array.from({ length: 6 }, () =>
        with_(async (store) => {
          for (let index = 0; index < 10; index += 1) await store.create(list);
        }),
      ),
    );
    expect(await with_(async (store) => (await store.page(1, 0)).total)).toBe(before + 60);
  });

  it('refuses after close with a retryable 503', async () => {
    const store = open();
    await store.close();
    await expect(store.ping()).rejects.toMatchObject({ code: 'store.unavailable', status: 503 });
  });
}

async function waitForNextMillisecond(): Promise<void> {
  const now = Date.now();
  while (Date.now() === now) await new Promise((resolve) => setImmediate(resolve));
}
