import { BatchCollectedV1 } from '../internal/batch.v1.js';
import { JobAcceptedV1 } from '../internal/job-accepted.v1.js';
import { BudgetExhaustedV1 } from './budget-exhausted.v1.js';
import { BudgetForecastChangedV1 } from './budget-forecast-changed.v1.js';
import { BudgetRecoveredV1 } from './budget-recovered.v1.js';
import { BudgetThresholdCrossedV1 } from './budget-threshold-crossed.v1.js';
import { HardwareMeasuredV1 } from './hardware-measured.v1.js';
import { InferenceResultV1 } from './inference-result.v1.js';
import { MeteringUsageRatedV1 } from './metering-usage-rated.v1.js';
import { OutcomeRecordedV1 } from './outcome-recorded.v1.js';
import { PolicyShadowPriceChangedV1 } from './policy-shadow-price-changed.v1.js';
import { PolicyStageChangedV1 } from './policy-stage-changed.v1.js';
import { PriceVersionHeldV1 } from './price-version-held.v1.js';
import { PriceVersionPublishedV1 } from './price-version-published.v1.js';
import { QualityModelShiftedV1 } from './quality-model-shifted.v1.js';
import { RoutingDecisionMadeV1 } from './routing-decision-made.v1.js';
import { UsageAttemptClosedV1 } from './usage-attempt-closed.v1.js';
import { UsageAttemptExtendedV1 } from './usage-attempt-extended.v1.js';
import { UsageAttemptOpenedV1 } from './usage-attempt-opened.v1.js';

/** Every CloudEvents type and the schema of its body. A type is the first three tokens of its subject. */
export const EVENTS = {
  'usage.attempt-opened.v1': UsageAttemptOpenedV1,
  'usage.attempt-extended.v1': UsageAttemptExtendedV1,
  'usage.attempt-closed.v1': UsageAttemptClosedV1,
  'metering.usage-rated.v1': MeteringUsageRatedV1,
  'routing.decision-made.v1': RoutingDecisionMadeV1,
  'budget.threshold-crossed.v1': BudgetThresholdCrossedV1,
  'budget.exhausted.v1': BudgetExhaustedV1,
  'budget.recovered.v1': BudgetRecoveredV1,
  'budget.forecast-changed.v1': BudgetForecastChangedV1,
  'policy.stage-changed.v1': PolicyStageChangedV1,
  'policy.shadow-price-changed.v1': PolicyShadowPriceChangedV1,
  'inference.result.v1': InferenceResultV1,
  'outcome.recorded.v1': OutcomeRecordedV1,
  'quality.model-shifted.v1': QualityModelShiftedV1,
  'price.version-published.v1': PriceVersionPublishedV1,
  'price.version-held.v1': PriceVersionHeldV1,
  'hardware.measured.v1': HardwareMeasuredV1,
  'job.accepted.v1': JobAcceptedV1,
  'batch.collected.v1': BatchCollectedV1,
} as const;
export type EventType = keyof typeof EVENTS;
