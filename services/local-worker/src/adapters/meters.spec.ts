import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MeterUnreadable } from '../application/power-meters.js';
import { nvidiaSmi } from './nvidia-smi.js';
import { rapl } from './rapl.js';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'meters-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const program = (name: string, script: string): string => {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
};

describe('nvidia-smi as a program', () => {
  it('is asked for index, power and utilization', async () => {
    const smi = program(
      'ok',
      `[ "$*" = "--query-gpu=index,power.draw,utilization.gpu --format=csv,noheader,nounits" ] && echo "0, 250.5, 80"`,
    );
    expect(await nvidiaSmi(1, smi).read()).toEqual({ kind: 'power', watts: 250.5, utilization: 0.8 });
  });

  it.each([
    ['that is not there', () => join(folder, 'nowhere'), /nowhere is not installed here/],
    ['that fails', () => program('bad', 'echo broken >&2; exit 9'), /failed/],
    ['that hangs', () => program('hung', 'exec sleep 60'), /did not answer in 300 ms/],
  ])('one %s is unreadable, and does not hold up the worker', async (_name, path, why) => {
    const read = nvidiaSmi(1, path(), 300).read();
    await expect(read).rejects.toThrow(MeterUnreadable);
    await expect(read).rejects.toThrow(why);
  });
});

describe('energy counters in sysfs', () => {
  const zone = (powercap: string, name: string, files: Record<string, string>): void => {
    const path = join(folder, powercap, name);
    mkdirSync(path, { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  };
  const counter = (name: string, microjoules: string) => ({
    name: `${name}\n`,
    energy_uj: `${microjoules}\n`,
    max_energy_range_uj: '262143328850\n',
  });

  it('packages and memory are read, what lies inside them is not', async () => {
    zone('full', 'intel-rapl:0', counter('package-0', '11'));
    zone('full', 'intel-rapl:1', counter('package-1', '22'));
    zone('full', 'intel-rapl:0:0', counter('core', '5'));
    zone('full', 'intel-rapl:0:1', counter('dram', '3'));
    zone('full', 'intel-rapl:2', counter('psys', '99'));
    zone('full', 'dtpm', {});
    expect(await rapl(join(folder, 'full')).read()).toEqual({
      kind: 'energy',
      zones: [
        { zone: 'intel-rapl:0', microjoules: 11n, rangeMicrojoules: 262_143_328_850n },
        { zone: 'intel-rapl:0:1', microjoules: 3n, rangeMicrojoules: 262_143_328_850n },
        { zone: 'intel-rapl:1', microjoules: 22n, rangeMicrojoules: 262_143_328_850n },
      ],
    });
  });

  it('a machine without them is unreadable, and so is one that does not let us', async () => {
    await expect(rapl(join(folder, 'none')).read()).rejects.toThrow(/has no energy counters/);
    zone('shut', 'intel-rapl:0', { name: 'package-0\n' });
    await expect(rapl(join(folder, 'shut')).read()).rejects.toThrow(/energy_uj cannot be read \(ENOENT\)/);
  });
});
