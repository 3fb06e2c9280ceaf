/** What is kept of instances that were replaced or died: the list, one of them, and its files. */
import { z } from 'zod';
import type { BlackBoxFile } from '../../domain/blackBox/blackBox.js';
import type { ControlPlane } from '../../domain/views/controlPlane.js';
import { ok, route } from '../route.js';
import type { Route } from '../route.js';
import { blackBox, blackBoxFile, blackBoxId, blackBoxList } from '../schemas/blackBox.js';

const JSON_TYPE = 'application/json; charset=utf-8';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const LINES_TYPE = 'application/x-ndjson; charset=utf-8';

const CONTENT_TYPES: Readonly<Record<BlackBoxFile, string>> = {
  'summary.json': JSON_TYPE,
  'stack.txt': TEXT_TYPE,
  'stderr.log': TEXT_TYPE,
  'figures.jsonl': LINES_TYPE,
  'report.json': JSON_TYPE,
  'heap.heapprofile': JSON_TYPE,
};

export function blackBoxRoutes(controlPlane: ControlPlane): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/ha/blackbox',
      tag: 'insight',
      summary: 'What is kept of instances that were replaced or died',
      answers: { 200: { description: 'As many as are kept.', data: blackBoxList } },
      handle: async () => ok({ blackBoxes: await controlPlane.blackBoxes() }),
    }),
    route({
      method: 'get',
      path: '/api/ha/blackbox/:id',
      tag: 'insight',
      summary: 'One of them: why, where it was blocked, what was known, what came of it',
      params: z.strictObject({ id: blackBoxId }),
      answers: { 200: { description: 'As far as it is known by now.', data: blackBox } },
      refusals: { 404: '`blackbox.unknown`' },
      handle: async ({ params }) => ok(await controlPlane.blackBox(params.id)),
    }),
    route({
      method: 'get',
      path: '/api/ha/blackbox/:id/:file',
      tag: 'insight',
      summary: 'One of its files',
      params: z.strictObject({ id: blackBoxId, file: blackBoxFile }),
      answers: {
        200: { description: 'The file, to be saved.', contentTypes: [JSON_TYPE, TEXT_TYPE, LINES_TYPE] },
      },
      refusals: { 404: '`blackbox.unknown`, or `blackbox.no-file`: this one has no such file.' },
      handle: async ({ params: { id, file } }) => ({
        kind: 'text',
        contentType: CONTENT_TYPES[file],
        text: await controlPlane.blackBoxFile(id, file),
        headers: { 'Content-Disposition': `attachment; filename="${id}-${file}"` },
      }),
    }),
  ];
}
