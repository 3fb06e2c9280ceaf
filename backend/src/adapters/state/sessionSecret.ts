/** The secret that is made once and kept in the data directory: the one that the ecosystem files read, by their own code. */
import { createRequire } from 'node:module';
import { join } from 'node:path';

interface SessionSecretModule {
  keptSecret(file: string): string;
}

/** As far away from the sources as from the build. */
const { keptSecret } = createRequire(import.meta.url)('../../../sessionSecret.cjs') as SessionSecretModule;

/** @throws with a sentence for people when it can't be kept, or the file holds no usable one. */
export function sessionSecretIn(dataDir: string): string {
  return keptSecret(join(dataDir, 'session-secret'));
}
