/** What a projection makes of a budget: nothing, a word to its people, or dearer backends held back. */
export type ForecastStage = 'steady' | 'warn' | 'tighten';

/** What is kept of a budget's window between decisions. Plain JSON. A new window starts with STEADY. */
export interface PolicyState {
  readonly stage: ForecastStage;
}

export const STEADY: PolicyState = { stage: 'steady' };

/** Chances of exceeding at which a stage begins, and below which it ends: 0..1, relax < warn <= tighten. */
export interface PolicyThresholds {
  readonly warnFrom: number;
  readonly tightenFrom: number;
  readonly relaxBelow: number;
}

export const POLICY_THRESHOLDS: PolicyThresholds = { warnFrom: 0.5, tightenFrom: 0.8, relaxBelow: 0.35 };

/** A projection of the window's end. It is the unconstrained one: with pacing it would come true because it is acted upon. */
export interface Projection {
  /** Absent where too little is known to say. */
  readonly chanceAboveLimit?: number | undefined;
  readonly expected: number;
  readonly low: number;
  readonly high: number;
  readonly limit: number;
}

/** What an operator said: a stage that holds whatever comes, or that nothing is to change by itself. */
export interface Override {
  readonly pinned?: ForecastStage | undefined;
  readonly paused?: boolean | undefined;
}

export interface PolicyDecision {
  readonly state: PolicyState;
  readonly changed: boolean;
  /** One sentence for people, whether or not the stage changed. */
  readonly reason: string;
}

/**
 * The stage that follows from a projection, with hysteresis: between `relaxBelow` and `warnFrom` all stays as it is, so that a
 * chance that wavers changes nothing, and a tightened budget stays so until the danger is over.
 * @param format an amount in the budget's unit, for the reason
 */
export function decideStage(
  state: PolicyState,
  projection: Projection,
  format: (amount: number) => string,
  { pinned, paused = false }: Override = {},
  thresholds: PolicyThresholds = POLICY_THRESHOLDS,
): PolicyDecision {
  const to = (stage: ForecastStage, reason: string): PolicyDecision => ({
    state: { stage },
    changed: stage !== state.stage,
    reason: `${stage}: ${reason}`,
  });
  if (pinned) return to(pinned, 'an operator pinned it');
  if (paused) return to(state.stage, 'an operator paused changes');
  const chance = projection.chanceAboveLimit;
  if (chance === undefined) return to(state.stage, 'too little is known to project the end of the window');
  const said = describe(projection, chance, format);
  const stage = stageAt(state.stage, chance, thresholds);
  if (stage !== state.stage) return to(stage, `${said}, ${crossed(stage, thresholds)}`);
  return to(stage, stage === 'steady' ? said : `${said}; it relaxes below ${percent(thresholds.relaxBelow)}`);
}

function stageAt(now: ForecastStage, chance: number, thresholds: PolicyThresholds): ForecastStage {
  if (chance >= thresholds.tightenFrom) return 'tighten';
  if (chance < thresholds.relaxBelow) return 'steady';
  return chance >= thresholds.warnFrom && now === 'steady' ? 'warn' : now;
}

function describe(
  { expected, low, high, limit }: Projection,
  chance: number,
  format: (amount: number) => string,
): string {
  const range = `${format(expected)} [${format(low)}, ${format(high)}]`;
  return `${range} expected by the end, ${percent(chance)} likely above the limit of ${format(limit)}`;
}

function crossed(stage: ForecastStage, { warnFrom, tightenFrom, relaxBelow }: PolicyThresholds): string {
  if (stage === 'tighten') return `which tightens from ${percent(tightenFrom)}`;
  return stage === 'warn' ? `which warns from ${percent(warnFrom)}` : `which relaxes below ${percent(relaxBelow)}`;
}

/** Never rounded over a threshold: 79.9 % is not 80 %. */
function percent(share: number): string {
  return `${Math.floor(share * 1_000 + 1e-9) / 10} %`;
}
