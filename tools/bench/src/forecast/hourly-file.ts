import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** Series of one org, hour by hour over the same hours. */
export interface Organisation {
  readonly name: string;
  readonly hours: number;
  readonly series: readonly HourlySeries[];
}

export interface HourlySeries {
  readonly name: string;
  readonly amounts: readonly number[];
  /** The sum of the org's other series: it teaches them nothing, as it is made of them. */
  readonly isSum: boolean;
}

const MEASURES = ['requests', 'input_tokens', 'output_tokens'];
const SUFFIX = /(-clients)?-hourly\.csv$/;

/**
 * Hourly tables of one or several models: `hour,requests,...,input_tokens,output_tokens`, and `client,hour,requests,...` with a
 * line for each hour in which a client sent something. An hour without a line is 0. A model's clients and the table of its sums
 * are one org, if both are given.
 * @throws when a file has none of these columns, or a line that is not of numbers
 */
export function readOrganisations(files: readonly string[]): Organisation[] {
  const byModel = new Map<string, HourlySeries[]>();
  for (const file of files) {
    const model = basename(file).replace(SUFFIX, '');
    byModel.set(model, [...(byModel.get(model) ?? []), ...readSeries(file, basename(file).replace(/\.csv$/, ''))]);
  }
  return [...byModel].map(([name, series]) => {
    const hours = Math.max(...series.map(({ amounts }) => amounts.length));
    const padded = series.map((s) => ({ ...s, amounts: Array.from({ length: hours }, (_, i) => s.amounts[i] ?? 0) }));
    return { name, hours, series: padded };
  });
}

function readSeries(file: string, name: string): HourlySeries[] {
  const [head = '', ...lines] = readFileSync(file, 'utf8').trim().split(/\r?\n/);
  const columns = head.split(',');
  const rows = lines.map((line) => line.split(','));
  const [hour, client] = [columns.indexOf('hour'), columns.indexOf('client')];
  if (hour < 0 || !columns.includes('requests')) throw new Error(`${file}: no columns hour and requests`);
  const measure = (of: readonly string[][], column: number): number[] => {
    const amounts: number[] = [];
    for (const row of of) {
      const [at, amount] = [Number(row[hour]), Number(row[column])];
      if (!Number.isInteger(at) || at < 0 || !(amount >= 0))
        throw new Error(`${file}: not understood: ${row.join(',')}`);
      amounts[at] = (amounts[at] ?? 0) + amount;
    }
    return Array.from(amounts, (amount) => amount ?? 0);
  };
  if (client < 0)
    return MEASURES.filter((m) => columns.includes(m)).map((m) => ({
      name: `${name}/${m}`,
      amounts: measure(rows, columns.indexOf(m)),
      isSum: true,
    }));
  const requests = columns.indexOf('requests');
  const tenants = Map.groupBy(rows, (row) => row[client]!);
  return [
    ...[...tenants].map(([tenant, of]) => ({
      name: `${name}/${tenant}`,
      amounts: measure(of, requests),
      isSum: false,
    })),
    { name: `${name}/sum`, amounts: measure(rows, requests), isSum: true },
  ];
}
