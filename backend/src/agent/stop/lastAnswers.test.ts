import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { LastAnswers } from './lastAnswers.js';

function answerOn(socket: Socket): ServerResponse {
  const request = new IncomingMessage(socket);
  request.httpVersionMajor = 1;
  request.httpVersionMinor = 1;
  return new ServerResponse(request);
}

it('the only answer of a connection closes it', () => {
  const answer = answerOn(new Socket());
  new LastAnswers().mark(answer);
  expect(answer.shouldKeepAlive).toBe(false);
});

it('of several on one connection only the last does, each connection for itself', () => {
  const [one, other] = [new Socket(), new Socket()];
  const answers = [answerOn(one), answerOn(other), answerOn(one), answerOn(one)];
  const last = new LastAnswers();
  for (const answer of answers) last.mark(answer);
  expect(answers.map(({ shouldKeepAlive }) => shouldKeepAlive)).toEqual([true, false, true, false]);
});

it('an answer that has begun, or closes anyway, is left as it is', () => {
  const last = new LastAnswers();
  const socket = new Socket();
  const begun = answerOn(socket);
  begun.flushHeaders();
  last.mark(begun);
  expect(begun.shouldKeepAlive).toBe(true);
  const ofOldClient = answerOn(socket);
  ofOldClient.shouldKeepAlive = false;
  last.mark(ofOldClient);
  last.mark(answerOn(socket));
  expect(ofOldClient.shouldKeepAlive).toBe(false);
});
