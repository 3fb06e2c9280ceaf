/** The product knows nothing of the sample that comes with it: what is the sample's own stands in examples/wordpecker. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Its name, the variables that only its services read, and its pages. */
const SAMPLE =
  /wordpecker|word lists?\b|\bquiz\b|WSSend|\bMYSQL_|\bJWT_SECRET|\bREDIS_CONN_STRING|\bENABLE_FAULTS|\bFAULT_[A-Z]|\bFRONTEND_(?:START_PORT|PATH)|\bBACKEND_URL|kiro_api|['"`/=]\/(?:ui|app)\b['"`/=]/i;

function* filesIn(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!/^(?:dist.*|testing)$/.test(entry.name)) yield* filesIn(path);
    } else if (!entry.name.includes('.test.')) yield path;
  }
}

it('backend/ has no name, variable or page of the sample', () => {
  const found = [...filesIn(join(root, 'backend'))].flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        SAMPLE.test(line) ? [`${relative(root, file)}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
  expect(found).toEqual([]);
});
