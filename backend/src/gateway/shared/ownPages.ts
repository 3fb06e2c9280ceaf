/** Pages of the gateway itself, as the data path sees them. */
import type { OwnAnswer } from './answer.js';

/** A request for one of the gateway's own pages. */
export interface OwnPageRequest {
  readonly method: string;
  readonly path: string;
  /** Without the question mark; '' when there is none. */
  readonly query: string;
  readonly host: string;
  /** The client itself, found through trusted proxies. */
  readonly clientAddress: string;
  /** The address that opened the connection. */
  readonly peerAddress: string;
  readonly secure: boolean;
  /** Whether the request carries forwarded fields or Via: it claims to come through a proxy, which may be untrue. */
  readonly passedOn: boolean;
  readonly requestId: string;
  /** The ports of the connection; null where it is none of its own (a stream of HTTP/2). */
  readonly connection: { readonly localPort: number; readonly remotePort: number } | null;
  /** As text, of pages that take one (`takesBody`); '' when there is none. null: it was not read, or is too long. */
  readonly body: string | null;
  /** A header's value by its name in lower case, or null. Hop-by-hop and forwarded fields are not among them. */
  header(name: string): string | null;
}

/** The pages that the gateway serves itself; everything else belongs to the application. */
export interface OwnPages {
  /** Asked for every request: a look into a set. `path` is without the query. */
  handles(path: string): boolean;
  /** Whether the body of such a request is read, and given to `answer`. Default: never. */
  takesBody?(path: string, method: string): boolean;
  /** How long `answer` may take, ms. Default: as long as an upstream. */
  patienceMs?(path: string): number;
  /** When it rejects, the client gets a 500. */
  answer(request: OwnPageRequest): Promise<OwnAnswer>;
}
