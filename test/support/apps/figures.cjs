/**
 * Does what its figures are to tell. `GET /slow?ms=` answers after that, with `&status=` as that; `/hold` never;
 * `/burn?ms=` keeps the main thread busy for so long; `/keep?mb=` keeps so much on its heap, and collects garbage.
 */
'use strict';

const { createServer } = require('node:http');

const kept = [];

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://app');
  const ms = Number(searchParams.get('ms'));
  const answer = () => {
    response.statusCode = Number(searchParams.get('status') ?? 200);
    response.end('ok');
  };
  switch (pathname) {
    case '/hold':
      return;
    case '/burn':
      for (const endsAt = performance.now() + ms; performance.now() < endsAt;);
      return answer();
    case '/keep':
      kept.push(Array.from({ length: Number(searchParams.get('mb')) * 131_072 }, (_, index) => index / 2));
      global.gc();
      return answer();
    default:
      setTimeout(answer, ms);
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
