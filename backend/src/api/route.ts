/**
 * What a call of the API is. The registry (routes/index.ts) is a list of these and nothing else knows a path:
 * the router validates from it, `/openapi.json` is generated from it, and a test holds both to it.
 */
import type { Request, Response } from 'express';
import type { z } from 'zod';
import { parseInput } from './validation.js';

export type Method = 'get' | 'post' | 'delete';

export interface CallContext {
  readonly request: Request;
  readonly requestId: string;
  /** The peer's address, IPv4-mapped IPv6 written as IPv4; `private-socket` for a call that came over that. */
  readonly remoteAddress: string;
  /** How events name whoever called: `api:<address>`. */
  readonly by: string;
}

/** What a call answers when it succeeds; refusals are thrown as HoldfastError. */
export type Reply =
  /** `data` goes into the envelope. */
  | {
      readonly kind: 'data';
      readonly status: number;
      readonly data: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Sent as it is, outside the envelope. */
  | {
      readonly kind: 'text';
      readonly contentType: string;
      readonly text: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The call keeps the response and ends it itself. Not started for HEAD. */
  | { readonly kind: 'stream'; readonly contentType: string; readonly start: (response: Response) => void };

export type AnswerDoc =
  | { readonly description: string; readonly data: z.ZodType }
  | { readonly description: string; readonly contentTypes: readonly string[] };

/** Documentation and rule of one call, the part that the generator of the OpenAPI document reads. */
export interface RouteDoc {
  readonly method: Method;
  /** Express syntax, e.g. `/api/ha/reset-failure/:serviceName`. */
  readonly path: string;
  readonly tag: 'operations' | 'insight' | 'session' | 'process';
  readonly summary: string;
  readonly description?: string;
  /** `token` (default): needs the token or a session whenever a token is set. */
  readonly access?: 'token' | 'public';
  readonly answers: Readonly<Record<number, AnswerDoc>>;
  /** Refusals beyond those that every call shares. */
  readonly refusals?: Readonly<Record<number, string>>;
  /** Largest body it takes, where that is more than every other call. */
  readonly bodyBytes?: number;
}

export interface RouteInput<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
}

interface RouteDefinition<P, Q, B> extends RouteDoc {
  /** Each defaults to "nothing allowed": what is not declared is refused by name. */
  readonly params?: z.ZodType<P>;
  readonly query?: z.ZodType<Q>;
  readonly body?: z.ZodType<B>;
  readonly handle: (input: RouteInput<P, Q, B>, context: CallContext) => Reply | Promise<Reply>;
}

/** A route whose input types are checked inside and forgotten outside. */
export interface Route extends RouteDoc {
  readonly params: z.ZodType | null;
  readonly query: z.ZodType | null;
  readonly body: z.ZodType | null;
  /** Validates, then handles. Rejects with `request.invalid` (400) before anything else happened. */
  readonly run: (raw: RouteInput<unknown, unknown, unknown>, context: CallContext) => Promise<Reply>;
}

/** Turns a typed definition into a registry entry. */
export function route<P = unknown, Q = unknown, B = unknown>(definition: RouteDefinition<P, Q, B>): Route {
  const { params, query, body, handle, ...doc } = definition;
  return {
    ...doc,
    params: params ?? null,
    query: query ?? null,
    body: body ?? null,
    run: async (raw, context) => handle(parseInput(raw, { params, query, body }), context),
  };
}

/** The usual reply. */
export function ok(data: unknown, headers?: Readonly<Record<string, string>>): Reply {
  return headers === undefined
    ? { kind: 'data', status: 200, data }
    : { kind: 'data', status: 200, data, headers };
}
