/** The API and its events as pages of docs/reference, from the registry that also validates. */
import { z } from 'zod';
import type { CodeGroup } from '../domain/errorCodes.js';
import type { EventType } from '../domain/events.js';
import { severityOf } from '../domain/events.js';
import { markdownTable } from '../lib/markdown.js';
import { BODY_REFUSALS, COMMON_REFUSALS, TOKEN_REFUSALS } from './openapi.js';
import type { Route, RouteDoc } from './route.js';
import { eventData } from './schemas/events.js';

const TITLES: Readonly<Record<RouteDoc['tag'], string>> = {
  operations: 'Operations',
  insight: 'Insight',
  session: 'Browser sessions',
  process: 'For other machines and programs',
};

/** Every call: what it does, what it takes, what it answers and what it refuses. */
export function apiReference(routes: readonly Route[]): string {
  const sections = Object.entries(TITLES).map(([tag, title]) =>
    [`## ${title}`, ...routes.filter((each) => each.tag === tag).map(call)].join('\n\n'),
  );
  return [...sections, sharedRefusals()].join('\n\n');
}

function call(route: Route): string {
  const { method, path, summary, description, access, answers, refusals = {} } = route;
  const inputs = [
    ...inputRows(route.params, 'path'),
    ...inputRows(route.query, 'query'),
    ...inputRows(route.body, 'body'),
  ];
  const outcomes = [
    ...Object.entries(answers).map(([status, answer]) => [status, answer.description]),
    ...Object.entries(refusals).map(([status, text]) => [status, text]),
  ].toSorted(([a = ''], [b = '']) => Number(a) - Number(b));
  return [
    `### \`${method.toUpperCase()} ${path}\``,
    `${summary}.${description === undefined ? '' : ` ${description}`}${access === 'public' ? ' Needs no token.' : ''}`,
    ...(inputs.length === 0 ? [] : [markdownTable(['input', 'in', 'type', 'meaning'], inputs)]),
    markdownTable(['status', 'means'], outcomes),
  ].join('\n\n');
}

function sharedRefusals(): string {
  const rows = [COMMON_REFUSALS, TOKEN_REFUSALS, BODY_REFUSALS].flatMap((refusals) =>
    Object.entries(refusals).map(([status, text]) => [status, text]),
  );
  return `## What any call may refuse\n\n${markdownTable(['status', 'means'], rows)}`;
}

/** As much of a JSON Schema as a cell can say. */
interface Shape {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Shape[];
  readonly items?: Shape;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly description?: string;
}

function shapesOf(schema: z.ZodType | null, io: 'input' | 'output'): [string, Shape, boolean][] {
  if (!(schema instanceof z.ZodObject)) return [];
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io }) as {
    properties?: Record<string, Shape>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, shape]) => [name, shape, required.includes(name)]);
}

function inputRows(schema: z.ZodType | null, place: 'path' | 'query' | 'body'): string[][] {
  return shapesOf(schema, 'input').map(([name, shape, required]) => [
    `\`${name}\``,
    `${place}${required ? '' : ', optional'}`,
    typeOf(shape),
    shape.description ?? '',
  ]);
}

function typeOf(shape: Shape): string {
  const { type, minimum, maximum, items } = shape;
  const range = `${minimum ?? ''}–${maximum ?? ''}`;
  const bounds = type === 'integer' && maximum !== undefined && maximum < 1e9 ? ` ${range}` : '';
  const standard = shape.default === undefined ? '' : `, default ${JSON.stringify(shape.default)}`;
  return `${bare()}${bounds}${standard}`;

  function bare(): string {
    if (shape.const !== undefined) return JSON.stringify(shape.const);
    if (shape.enum !== undefined) return shape.enum.map((each) => JSON.stringify(each)).join(' or ');
    if (shape.anyOf !== undefined) return [...new Set(shape.anyOf.map(typeOf))].join(' or ');
    if (type === 'array' && items !== undefined) return `list of ${typeOf(items)}`;
    return type ?? 'any';
  }
}

/**
 * Every event: how loud it is, what it carries, what it means.
 * @param source the text of domain/events.ts, where the comment above each event says what it means.
 */
export function eventReference(source: string): string {
  const meanings = eventMeanings(source);
  const types = Object.keys(eventData) as EventType[];
  const families = [...new Set(types.map((type) => type.split('.')[0] ?? ''))];
  return families
    .map((family) => {
      const rows = types
        .filter((type) => type.startsWith(`${family}.`))
        .map((type) => [
          `\`${type}\``,
          severityOf(type),
          shapesOf(eventData[type], 'output')
            .map(([name]) => `\`${name}\``)
            .join(', '),
          meanings.get(type) ?? '',
        ]);
      return `## ${family}\n\n${markdownTable(['event', 'severity', 'data', 'what happened'], rows)}`;
    })
    .join('\n\n');
}

/** The comment that stands directly above each entry of the map, without its decoration. */
export function eventMeanings(source: string): ReadonlyMap<string, string> {
  const entries = source.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s*'([\w.]+)':/g);
  return new Map(
    [...entries].map(([, comment = '', type = '']) => [
      type,
      comment
        .replaceAll(/^\s*\*\s?/gm, ' ')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    ]),
  );
}

/** Every code that an error can carry, by where a reader meets it. */
export function errorCodeReference(groups: readonly CodeGroup[]): string {
  return groups
    .map(({ title, where, codes }) => {
      const rows = Object.entries(codes).map(([code, meaning]) => [`\`${code}\``, meaning]);
      return `## ${title}\n\n${where}\n\n${markdownTable(['code', 'meaning'], rows)}`;
    })
    .join('\n\n');
}
