/** Where this Holdfast lies, and which folder it works in, as ecosystem files see it: by their own code. */
import { createRequire } from 'node:module';

interface InstallationModule {
  /** npm installed it into another project; false: it is a clone. */
  readonly isPackage: boolean;
  /** With backend/ and scripts/; nothing is written below it where it is a package. */
  readonly packageFolder: string;
  /** HA_ROOT, or the clone, or for a package the working directory of this process. */
  readonly projectFolder: string;
}

export const { isPackage, packageFolder, projectFolder } = createRequire(import.meta.url)(
  '../installation.cjs',
) as InstallationModule;
