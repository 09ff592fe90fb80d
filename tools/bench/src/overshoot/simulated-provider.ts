import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startSimulator, type Simulator } from '@meritorder/launcher';
import { MODELS } from './plan.js';

export const PROVIDER = 'nimbus';

/** The upstream of every target, at the speed of a fast hosted model. Its invoice is the truth. */
export async function startProvider(dataDir: string, port: number): Promise<Simulator> {
  mkdirSync(dataDir, { recursive: true });
  const file = join(dataDir, 'provider.json');
  const speed = { firstTokenMs: 150, outputTokensPerSecond: 150, latencyJitter: 0.3 };
  writeFileSync(
    file,
    JSON.stringify({
      name: PROVIDER,
      seed: 12,
      models: { small: { prices: MODELS.small, ...speed }, large: { prices: MODELS.large, ...speed } },
    }),
  );
  return startSimulator(file, port);
}
