import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  isCountedZone,
  MeterUnreadable,
  parseMicrojoules,
  type EnergyZone,
  type Meter,
} from '../application/power-meters.js';

const POWERCAP = '/sys/class/powercap';

/** Energy counters of the processor packages and their memory (Intel and AMD). @param folder where the kernel shows them. */
export function rapl(folder = POWERCAP): Meter {
  return {
    name: 'rapl',
    async read() {
      const zones = await readZones(folder);
      if (zones.length === 0) throw new MeterUnreadable(`${folder} has no energy counters`);
      return { kind: 'energy', zones };
    },
  };
}

async function readZones(folder: string): Promise<EnergyZone[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch {
    return [];
  }
  const zones: EnergyZone[] = [];
  for (const zone of names.filter((name) => name.startsWith('intel-rapl:')).toSorted()) {
    const file = (name: string): string => join(folder, zone, name);
    if (!isCountedZone((await read(file('name'))).trim())) continue;
    zones.push({
      zone,
      microjoules: parseMicrojoules(await read(file('energy_uj')), file('energy_uj')),
      rangeMicrojoules: parseMicrojoules(await read(file('max_energy_range_uj')), file('max_energy_range_uj')),
    });
  }
  return zones;
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    // Since CVE-2020-8694 only root reads them, unless the operator gives others the right.
    throw new MeterUnreadable(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
