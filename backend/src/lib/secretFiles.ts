/** Files that hold a secret, as the ecosystem files read and keep them: by their own code, which needs no build. */
import { createRequire } from 'node:module';

interface SecretFilesModule {
  /** Variables of Holdfast that are secret. */
  readonly SECRETS: readonly string[];
  /** @throws with a clause that completes "FILE is named, but …", and never with the content. */
  readSecretFile(file: string, options?: { readonly isOurs?: boolean }): string;
}

/** As far away from the sources as from the build. */
export const { SECRETS, readSecretFile } = createRequire(import.meta.url)(
  '../../secretFiles.cjs',
) as SecretFilesModule;
