/** Where things are, seen from the compiled files in bench/dist/bench/lib. */
import { fileURLToPath } from 'node:url';

export const benchFolder = fileURLToPath(new URL('../../../', import.meta.url));
export const rootFolder = fileURLToPath(new URL('../../../../', import.meta.url));
