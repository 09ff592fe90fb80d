import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { WORKSPACE } from '@meritorder/launcher';

const DECISIONS = 20_000;

interface Quantiles {
  p50Us: number;
  p99Us: number;
}

/** As the router's `measure/decision.ts` says it. */
export interface DecisionSpeed {
  backends: number;
  decision: Quantiles;
  parts: Record<string, Quantiles>;
  cpuMeanUs: number;
  estimate: Quantiles;
  grantToWork: Quantiles;
  record: Quantiles;
}

/** The router measures its own decision, in a process of its own: nothing here decides in its place. */
export function benchDecision(): DecisionSpeed {
  const program = join(WORKSPACE, 'services/router/dist/measure/main.js');
  const said = execFileSync(process.execPath, [program, String(DECISIONS)], { encoding: 'utf8' });
  return JSON.parse(said) as DecisionSpeed;
}
