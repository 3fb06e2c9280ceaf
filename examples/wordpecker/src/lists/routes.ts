/** /api/lists: word lists, their words, and a quiz about them. */
import express from 'express';
import type { Router } from 'express';
import { AppError } from '../lib/errors.js';
import { parse } from '../lib/validate.js';
import type { SessionCookies } from '../session/sessionCookies.js';
import type { WordStore } from '../store/wordStore.js';
import { makeQuiz } from './quiz.js';
import {
  changedListSchema,
  newListSchema,
  newWordsSchema,
  pageSchema,
  quizSchema,
  TOO_MANY_WORDS,
} from './schemas.js';

export function listRoutes(store: WordStore, sessions: SessionCookies): Router {
  const router = express.Router();

  router.get('/', async (request, response) => {
    const { limit, offset } = parse(pageSchema, request.query);
    response.json({ success: true, data: { ...(await store.page(limit, offset)), limit, offset } });
  });

  router.post('/', async (request, response) => {
    const { name, description } = parse(newListSchema, request.body);
    const list = await store.create({ name, description, owner: sessions.user(request) });
    response.status(201).location(`/api/lists/${list.id}`).json({ success: true, data: list });
  });

  router.get('/:id', async (request, response) => {
    response.json({ success: true, data: await find(store, request.params.id) });
  });

  router.put('/:id', async (request, response) => {
    const { name = null, description = null } = parse(changedListSchema, request.body);
    const list = await store.update(request.params.id, { name, description });
    response.json({ success: true, data: list ?? unknownList(request.params.id) });
  });

  router.delete('/:id', async (request, response) => {
    if (!(await store.remove(request.params.id))) unknownList(request.params.id);
    response.status(204).end();
  });

  router.post('/:id/words', async (request, response) => {
    const { words } = parse(newWordsSchema, request.body);
    const result = await store.addWords(request.params.id, words);
    if (result.kind === 'no-such-list') unknownList(request.params.id);
    else if (result.kind === 'too-many') throw new AppError('list.full', TOO_MANY_WORDS, { status: 422 });
    else response.status(201).json({ success: true, data: result.list });
  });

  router.delete('/:id/words/:wordId', async (request, response) => {
    const { id, wordId } = request.params;
    if (!(await store.removeWord(id, wordId))) {
      throw new AppError('word.unknown', `list ${id} has no word ${wordId}`, { status: 404 });
    }
    response.status(204).end();
  });

  router.get('/:id/quiz', async (request, response) => {
    const { questions } = parse(quizSchema, request.query);
    const list = await find(store, request.params.id);
    const quiz = makeQuiz(list.words, questions, Math.random);
    response.json({ success: true, data: { listId: list.id, name: list.name, questions: quiz } });
  });

  return router;
}

async function find(store: WordStore, id: string) {
  return (await store.find(id)) ?? unknownList(id);
}

function unknownList(id: string): never {
  throw new AppError('list.unknown', `there is no list ${id}`, { status: 404 });
}
