import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXAMPLES } from '@meritorder/contracts';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { simulateCommand } from './command.js';
import type { SimulationReport } from './report.js';

const yaml = (price: string): string => `
version: 1
orgs: [{ id: acme }]
backends:
  - { id: b, kind: cloud, provider: p, model: m, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 10000, maxOutputTokens: 100,
      prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { inputUsdPerMillionTokens: "${price}", outputUsdPerMillionTokens: "4" } }] }
budgets: [{ id: day, selector: { org: acme }, window: day, limitUsd: "0.01", pacing: off }]
`;
let folder: string;
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

async function run(...args: string[]): Promise<string[]> {
  const said: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((line: string) => void said.push(...line.split('\n')));
  try {
    const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
    simulateCommand(program);
    await program.parseAsync(['simulate', ...args], { from: 'user' });
  } finally {
    log.mockRestore();
  }
  return said;
}

beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'simulate-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('meritorder simulate', () => {
  const rows = Array.from({ length: 20 }, (_, i) => `2026-09-01 00:00:${String(i).padStart(2, '0')},1000,50`);
  const trace = (): string => file('trace.csv', ['TIMESTAMP,ContextTokens,GeneratedTokens', ...rows].join('\n'));

  // An answer is $0.0022 or $0.0012: of $0.01, four or eight.
  it('shows configurations side by side, and ends with one JSON object that says the same', async () => {
    const [dear, cheap] = [file('dear.yaml', yaml('2')), file('cheap.yaml', yaml('1'))];
    const lines = await run('--trace', trace(), '--config', dear, '--config', cheap, '--input-bound', '1');
    const report = JSON.parse(lines.at(-1)!) as SimulationReport;
    expect(report.policies.map((p) => [p.policy, p.answered, p.cashNanos])).toEqual([
      ['dear', 4, '8800000'],
      ['cheap', 8, '9600000'],
    ]);
    expect(report.differences).toMatchObject([{ policy: 'cheap', baseline: 'dear', answered: 4, cashNanos: '800000' }]);
    expect(lines.find((l) => l.startsWith('answered'))).toMatch(/answered +4 +8 +\+100\.0 %/);
    expect(lines.find((l) => l.startsWith('day') && l.includes('dear'))).toMatch(/2026-09-01 00:00/);
  });

  it('says what a period of the ledger does not say, and what budgets had spent before it', async () => {
    const record = {
      ...EXAMPLES.events['routing.decision-made.v1'],
      route: 'b',
      candidates: [],
      attribution: { org: 'acme' },
    };
    const day = record.decidedAt.slice(0, 10);
    const opening = { from: record.decidedAt, spent: [{ budget: 'day', window: day, nanos: '2500000' }] };
    const args = (line: object): string[] => [
      '--trace',
      file('period.jsonl', JSON.stringify({ record, ...line })),
      '--config',
      file('a.yaml', yaml('2')),
    ];
    const notesOf = async (...of: string[]) => (JSON.parse((await run(...of)).at(-1)!) as SimulationReport).notes;
    expect(await notesOf(...args({}))).toEqual([
      expect.stringMatching(
        /does not say what budgets had spent before it, nor which prices .* begin at 0, and prices/,
      ),
    ]);
    expect(await notesOf(...args({ prices: [] }))).toEqual([expect.stringMatching(/begin at 0; `decisions export`/)]);
    expect(await notesOf(...args({ opening }))).toEqual([]);
    expect(await notesOf(...args({ opening: { ...opening, windowsLeftOut: 3 } }))).toEqual([
      expect.stringMatching(/^3 windows .* begin at 0/),
    ]);
    // At another time the opening is that of other windows.
    expect(await notesOf(...args({ opening }), '--from', '2026-12-01')).toEqual([
      expect.stringMatching(/another time/),
    ]);
    expect(await run(...args({ opening }))).toContainEqual(expect.stringMatching(/^spent before .*: day \$0\.0025\.$/));
  });

  it('says what it leaves out of a policy that has it, and which qualities are of no request', async () => {
    const notesOf = async (...of: string[]) => (JSON.parse((await run(...of)).at(-1)!) as SimulationReport).notes;
    const plain = file('plain.yaml', yaml('2').replace(/budgets.*/, ''));
    const local = (id: string): string =>
      `  - { id: ${id}, kind: local, provider: acme, host: h, model: o, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 10000, maxOutputTokens: 100,
      prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { inputUsdPerMillionTokens: "0", outputUsdPerMillionTokens: "0" } }] }\n`;
    const more = yaml('2').replace(
      /budgets.*/,
      `${local('r1')}${local('r2')}routes: [{ id: auto, backends: [b, r1, r2], hedging: {} }]\n` +
        'budgets: [{ id: month, selector: { org: acme }, window: month, limitUsd: "1", carryOver: { maxShare: 1 } }]',
    );
    const all = ['--trace', trace(), '--config', plain, '--config', file('more.yaml', more)];
    const quality = file('quality.json', '{"b": {"task=sql": 0.5, "*": 0.7}}');
    expect(await notesOf(...all, '--quality', quality)).toEqual([
      'the table of qualities names what no request is: task=sql.',
      expect.stringMatching(/^more: hedging of auto is left out/),
      expect.stringMatching(/^more: replicas of auto are chosen by their load alone/),
      expect.stringMatching(/^more: windows of month go on after the last request/),
      expect.stringMatching(/^more: what was carried over into windows that were there on 2026-09-01 .*: month\.$/),
    ]);
  });

  it('gives the same bytes for the same seed', async () => {
    const args = ['--requests', '500', '--from', '2026-09-01', '--days', '1', '--config', file('a.yaml', yaml('2'))];
    expect(await run(...args)).toEqual(await run(...args));
    expect(await run(...args, '--seed', '2')).not.toEqual(await run(...args));
  });

  it.each<[string, string[], RegExp]>([
    ['without requests', [], /--trace <file>, or --requests <n>/],
    ['with a speed for made-up times', ['--requests', '5', '--speed', '2'], /for a trace as it is/],
    ['with a route that is none', ['--requests', '5', '--route', 'atuo'], /a\.yaml has no route or backend "atuo"/],
    ['with a number that is none', ['--requests', '-5'], /a whole number from 1/],
  ])('%s says what to do', async (_name, args, reason) => {
    await expect(run('--config', file('a.yaml', yaml('2')), ...args)).rejects.toThrow(reason);
  });

  it('names the file and the line of a trace that cannot be read', async () => {
    const bad = file('bad.csv', 'TIMESTAMP,ContextTokens,GeneratedTokens\n1,x,2');
    await expect(run('--config', file('a.yaml', yaml('2')), '--trace', bad)).rejects.toThrow(/bad\.csv: line 2/);
  });

  it('says that no price was in force, and how to go on', async () => {
    const old = file('old.csv', 'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-01-01 00:00:00,1,1');
    const lines = await run('--config', file('a.yaml', yaml('2')), '--trace', old);
    expect(lines.join('\n')).toMatch(/price_missing +1[\s\S]*--from puts them at another/);
  });
});
