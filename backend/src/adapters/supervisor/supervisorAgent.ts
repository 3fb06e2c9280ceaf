/**
 * Connections to the supervisor, for programs that call its API.
 *
 * On its own machine a program takes the private socket: nothing that other users do on the port can keep it out. Where
 * there is no such socket (an older supervisor, a folder that this user can't enter) it takes the port, but believes
 * what listens there only if that belongs to this user, to root, or to the owner of the data folder: while the
 * supervisor is away any user can listen on its port, would be shown the token, and could name upstreams of its own.
 * From another machine there is only the port, and the token.
 */
import { lstatSync, statSync } from 'node:fs';
import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import { withoutMapping } from '../../domain/network/network.js';
import { portOwners } from '../net/portOwners.js';

export interface SupervisorAddress {
  /** `http://127.0.0.1:3000`, without a slash at the end. */
  readonly url: string;
  /** HA_API_TOKEN, where one is set. */
  readonly token: string | null;
  /** Of a supervisor on this machine; null: it is on another. */
  readonly local: { readonly socketPath: string; readonly dataDir: string } | null;
}

/** A listener that is busy accepts late; one that is there does accept. */
const CONNECT_TIMEOUT_MS = 2_000;
/** As in the gateway, towards instances. */
const MOST_DIALS = 3;

export class SupervisorAgent extends Agent {
  readonly #local: SupervisorAddress['local'];

  constructor({ local }: SupervisorAddress, options: AgentOptions = {}) {
    super(options);
    this.#local = local;
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    if (this.#local === null) return super.createConnection(options, callback);
    void this.#give(this.#local, options, callback);
    return undefined;
  }

  /** Never rejects. */
  async #give(
    local: NonNullable<SupervisorAddress['local']>,
    options: ClientRequestArgs,
    callback: ((error: Error | null, stream: Duplex) => void) | undefined,
  ): Promise<void> {
    try {
      const socket = await this.#open(local, options);
      callback?.(null, socket);
    } catch (error) {
      // Node's own type asks for a stream beside an error.
      (callback as ((error: Error) => void) | undefined)?.(error as Error);
    }
  }

  async #open(local: NonNullable<SupervisorAddress['local']>, target: ClientRequestArgs): Promise<Socket> {
    const trusted = trustedUsers(local.dataDir);
    if (isSocketOf(local.socketPath, trusted)) {
      const socket = await opened(connect({ path: local.socketPath })).catch(() => null);
      if (socket !== null) return socket;
    }
    return openedByPort(Number(target.port), target.host ?? 'localhost', trusted);
  }
}

/** Root, this user, and the owner of the data folder, which is the user of the supervisor. */
function trustedUsers(dataDir: string): readonly number[] {
  const owner = statSync(dataDir, { throwIfNoEntry: false })?.uid;
  return [...new Set([0, process.getuid?.() ?? 0, owner ?? 0])];
}

/** Whether the socket is there, and it and its folder belong to one of `users`. */
function isSocketOf(path: string, users: readonly number[]): boolean {
  try {
    const found = lstatSync(path);
    return found.isSocket() && users.includes(found.uid) && users.includes(lstatSync(dirname(path)).uid);
  } catch {
    return false;
  }
}

/**
 * A connection to a listener of one of `users`. One that was opened before its listener was looked at may have been accepted by
 * a process that has closed its port since; so the listener must be the same before and after.
 * @throws when it belongs to another user, or is another one each time.
 */
async function openedByPort(port: number, host: string, users: readonly number[]): Promise<Socket> {
  for (let dials = 0; dials < MOST_DIALS; dials += 1) {
    const socket = await opened(connect({ port, host }));
    const address = withoutMapping(socket.remoteAddress ?? '');
    const verdict = portOwners.check(address, port, { pid: process.pid, userIds: users });
    if (verdict === 'same' || verdict === 'unknown') return socket;
    socket.destroy();
    if (verdict === 'new') continue;
    throw new Error(
      `what listens on port ${port} belongs to user ${verdict.userId} and is not believed to be the supervisor, which runs as user ${users.join(' or ')}`,
    );
  }
  throw new Error(`what listens on port ${port} was another process each time, so it is not believed`);
}

/** @throws when it is refused or takes too long. */
function opened(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => socket.destroy(new Error(`it accepted no connection within ${CONNECT_TIMEOUT_MS} ms`)),
      CONNECT_TIMEOUT_MS,
    );
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
    // Stays: an error may come before the request listens for errors, and is then seen by the closed socket.
    socket.on('error', reject);
    socket.once('close', () => clearTimeout(timer));
  });
}
