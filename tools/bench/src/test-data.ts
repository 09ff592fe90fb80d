import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where the options name no file: the sets in the folder that MERITORDER_TEST_DATA names; undefined: it is not there. */
export function testData(...path: string[]): string | undefined {
  const folder = process.env['MERITORDER_TEST_DATA'];
  const file = folder === undefined ? undefined : join(folder, ...path);
  return file !== undefined && existsSync(file) ? file : undefined;
}
