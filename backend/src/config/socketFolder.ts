/** The folder of the supervisor's sockets, as the ecosystem files settle it, by their own code. */
import { createRequire } from 'node:module';

interface SocketFolderModule {
  findSocketFolder(dataDirectory: string): string;
}

/** As far away from the sources as from the build. */
export const { findSocketFolder } = createRequire(import.meta.url)(
  '../../socketFolder.cjs',
) as SocketFolderModule;
