/**
 * The OpenAPI 3.1 document, from the registry that also validates. JSON Schema comes from zod; the envelope and
 * the refusals that every call shares are added here.
 */
import { z } from 'zod';
import { failureSchema } from './envelope.js';
import type { AnswerDoc, Route } from './route.js';
import { namedSchemas } from './schemas/names.js';

type Json = Readonly<Record<string, unknown>>;

export const COMMON_REFUSALS: Readonly<Record<number, string>> = {
  400: '`request.*`: something in the request is not valid; `details.problems` lists every one. `host.missing`.',
  403: '`host.foreign` or `origin.foreign`: not addressed by its own name, or called by a page of another origin.',
};
export const BODY_REFUSALS: Readonly<Record<number, string>> = {
  413: '`request.too-large`: the limit is 16 KB.',
  415: '`request.not-json`',
};
export const TOKEN_REFUSALS: Readonly<Record<number, string>> = {
  401: '`auth.required` or `auth.invalid`, when a token is set.',
};

export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const each of routes) {
    const path = each.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [each.method]: operation(each) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast control API',
      version,
      description: 'High availability for Node.js services on PM2: the control plane of one machine.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: ['operations', 'insight', 'session', 'process'].map((name) => ({ name })),
    security: [{}, { bearer: [] }, { session: [] }],
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The value of HA_API_TOKEN.' },
        session: { type: 'apiKey', in: 'cookie', name: 'holdfast_session' },
      },
    },
  };
}

function operation(each: Route): Json {
  const { summary, description, tag, access, answers, refusals } = each;
  const takesBody = each.method !== 'get';
  const refused: Readonly<Record<number, string>> = {
    ...COMMON_REFUSALS,
    ...(takesBody ? BODY_REFUSALS : {}),
    ...(access === 'public' ? {} : TOKEN_REFUSALS),
    ...refusals,
  };
  return {
    operationId: `${each.method} ${each.path}`.replace(/[^a-z0-9]+(\w?)/gi, (_, next: string) =>
      next.toUpperCase(),
    ),
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(access === 'public' ? { security: [] } : {}),
    parameters: [...parameters('path', each.params), ...parameters('query', each.query)],
    ...(each.body === null ? {} : { requestBody: requestBody(each.body) }),
    responses: {
      ...mapValues(answers, answer),
      ...mapValues(refused, refusal),
      default: refusal('Any other refusal.'),
    },
  };
}

function requestBody(schema: z.ZodType): Json {
  return {
    required: !schema.safeParse({}).success,
    content: { 'application/json': { schema: jsonSchema(schema, 'input') } },
  };
}

function parameters(place: 'path' | 'query', schema: z.ZodType | null): Json[] {
  if (!(schema instanceof z.ZodObject)) return [];
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as {
    properties?: Record<string, { description?: string }>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }));
}

function answer(doc: AnswerDoc): Json {
  if ('contentTypes' in doc) {
    const content = Object.fromEntries(doc.contentTypes.map((type) => [type, {}]));
    return { description: doc.description, content };
  }
  const name = namedSchemas.get(doc.data)?.id;
  const data = name === undefined ? jsonSchema(doc.data, 'output') : { $ref: reference(name) };
  const schema = {
    type: 'object',
    required: ['success', 'data', 'timestamp'],
    properties: {
      success: { const: true },
      data,
      timestamp: { type: 'string', format: 'date-time' },
    },
  };
  return { description: doc.description, content: { 'application/json': { schema } } };
}

function refusal(description: string): Json {
  return { description, content: { 'application/json': { schema: { $ref: reference('Failure') } } } };
}

function componentSchemas(): Json {
  const { schemas } = z.toJSONSchema(namedSchemas, { uri: reference, override: tidy });
  return { ...mapValues(schemas, withoutIds), Failure: jsonSchema(failureSchema, 'output') };
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  return withoutIds(z.toJSONSchema(schema, io === 'input' ? { io } : { io, override: tidy }));
}

/** Answers may gain fields without a new version; the bounds of safe integers are noise. */
function tidy({ jsonSchema: schema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (schema.additionalProperties === false) delete schema.additionalProperties;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
}

function withoutIds({ $schema: _schema, $id: _id, ...rest }: Json): Json {
  return rest;
}

function reference(name: string): string {
  return `#/components/schemas/${name}`;
}

function mapValues<V>(values: Readonly<Record<string, V>>, change: (value: V) => Json): Json {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, change(value)]));
}
