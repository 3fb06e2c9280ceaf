/**
 * The Unix socket on which the supervisor listens for programs of its own user (and of root): the folder is 0700, the
 * socket 0600, both checked. Its name has the port in it, so that a program with another HA_PORT finds none.
 */
import type { Server } from 'node:net';
import { claimSocket, releaseSocket } from '../agents/socketFile.js';

export interface PrivateSocketFile {
  claim(server: Server): Promise<string | null>;
  release(): void;
}

export function privateSocketAt(path: string): PrivateSocketFile {
  let inode: number | null = null;
  return {
    claim: async (server) => {
      const claim = await claimSocket(path, server);
      if (!claim.ok) return claim.problem;
      ({ inode } = claim);
      return null;
    },
    release: () => {
      if (inode !== null) releaseSocket(path, inode);
      inode = null;
    },
  };
}
