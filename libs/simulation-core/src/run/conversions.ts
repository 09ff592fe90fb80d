import type { DecisionPolicy, RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { emptyOrgConversion, predictConversion, UNKNOWN_CONVERSION } from '@meritorder/margin-core';
import { withRevenue, type RequestPolicy, type ScoreCandidate } from '@meritorder/routing-core';

/** What a decision's record knows of conversions beside what it knows of each candidate. */
export interface KnownConversions {
  /** What one brought as it was learned, USD; absent: nothing was learned, or the objective did not ask. */
  revenueUsd?: number | undefined;
  /** Of a backend of which nothing was learned; absent: of none it is on record. */
  priorConversion?: number | undefined;
}

export type Conversion = Required<
  Pick<ScoreCandidate, 'conversion' | 'conversionVariance' | 'conversionKnown' | 'priorConversion'>
>;

export function conversionsOf({ policy, candidates }: RoutingDecisionMadeV1): KnownConversions {
  const priors = candidates.flatMap(({ numbers }) => numbers?.priorConversion ?? []);
  const revenueUsd = policy?.objective === 'margin' ? learnedRevenue(policy) : undefined;
  return {
    ...(revenueUsd === undefined ? {} : { revenueUsd }),
    ...(priors.length > 0 ? { priorConversion: priors.reduce((sum, p) => sum + p, 0) / priors.length } : {}),
  };
}

/** Of a record that does not say whence it is, all above 0 is taken for learned. */
function learnedRevenue({ revenue, revenueUsd }: DecisionPolicy): number | undefined {
  if (revenue !== undefined) return revenue.from === 'learned' ? revenue.expectedUsd : undefined;
  return revenueUsd > 0 ? revenueUsd : undefined;
}

/** What a conversion brings is as it was learned then; else as it is configured. What the caller stated counts as in the router. */
export function withRevenueThen(policy: RequestPolicy, known: KnownConversions | undefined): RequestPolicy {
  const usd = known?.revenueUsd;
  return usd === undefined ? policy : withRevenue(policy, { usd, from: 'learned' });
}

/**
 * What the learner expects of a backend whose conversions are not on record: as of one without requests of its own. Quality is no
 * substitute, since of good answers few convert.
 */
export function unlearnedConversion(known: KnownConversions | undefined): Conversion {
  const prior = known?.priorConversion;
  return prior !== undefined && prior > 0 && prior < 1 ? expectedBy(prior) : UNLEARNED;
}

function expectedBy(prior: number): Conversion {
  const { conversion, variance, enough } = predictConversion(NOTHING, [], '', {
    prior: { ...UNKNOWN_CONVERSION, conversion: prior },
  });
  return { conversion, conversionVariance: variance, conversionKnown: enough, priorConversion: conversion };
}

const NOTHING = emptyOrgConversion(0);
const UNLEARNED = expectedBy(UNKNOWN_CONVERSION.conversion);
