/**
 * Predictions against outcomes of one model, over a rolling window (decayed by outcomes): sums for the line outcome = a + b *
 * prediction, and the same by tenths of the prediction, for the calibration error that operators see.
 */
export interface Calibration {
  weight: number;
  predictions: number;
  outcomes: number;
  squares: number;
  products: number;
  readonly bins: { weight: number; predictions: number; outcomes: number }[];
}

/** Outcomes after which one counts 1/e. */
const WINDOW_OUTCOMES = 500;
const KEEP = 1 - 1 / WINDOW_OUTCOMES;
/** Outcomes that "predictions are right as they are" counts as. */
const TRUST_OUTCOMES = 50;
/** The spread of predictions at which TRUST_OUTCOMES hold the slope: a standard deviation of .1. */
const TRUST_SPREAD = 0.01;
const BINS = 10;

export function emptyCalibration(): Calibration {
  const bins = Array.from({ length: BINS }, () => ({ weight: 0, predictions: 0, outcomes: 0 }));
  return { weight: 0, predictions: 0, outcomes: 0, squares: 0, products: 0, bins };
}

/** The prediction as the last outcomes say that it should have been, 0..1; a ridge regression towards a = 0, b = 1. */
export function calibrated(own: Calibration, prediction: number): number {
  const { weight } = own;
  const meanPrediction = weight > 0 ? own.predictions / weight : prediction;
  const spread = own.squares - meanPrediction * own.predictions + TRUST_OUTCOMES * TRUST_SPREAD;
  const together = own.products - meanPrediction * own.outcomes + TRUST_OUTCOMES * TRUST_SPREAD;
  const bias = (own.outcomes - own.predictions) / (weight + TRUST_OUTCOMES);
  // A slope below zero would say that the better prediction is the worse one: then it says nothing.
  const slope = Math.max(0, together / spread);
  return Math.min(1, Math.max(0, meanPrediction + bias + slope * (prediction - meanPrediction)));
}

/** Learns what came of a prediction, as it was before calibration. */
export function learnCalibration(own: Calibration, prediction: number, outcome: number, weight: number): void {
  own.weight = own.weight * KEEP + weight;
  own.predictions = own.predictions * KEEP + weight * prediction;
  own.outcomes = own.outcomes * KEEP + weight * outcome;
  own.squares = own.squares * KEEP + weight * prediction * prediction;
  own.products = own.products * KEEP + weight * prediction * outcome;
  const said = calibrated(own, prediction);
  own.bins.forEach((bin, i) => {
    const hit = i === Math.min(BINS - 1, Math.floor(said * BINS)) ? weight : 0;
    bin.weight = bin.weight * KEEP + hit;
    bin.predictions = bin.predictions * KEEP + hit * said;
    bin.outcomes = bin.outcomes * KEEP + hit * outcome;
  });
}

export function decayCalibration(own: Calibration, factor: number): void {
  for (const key of ['weight', 'predictions', 'outcomes', 'squares', 'products'] as const) own[key] *= factor;
  for (const bin of own.bins) {
    bin.weight *= factor;
    bin.predictions *= factor;
    bin.outcomes *= factor;
  }
}

/** The expected calibration error over the window, 0..1: the mean distance of a tenth's predictions from its outcomes. */
export function calibrationErrorOf(own: Calibration): number {
  const distance = own.bins.reduce((sum, bin) => sum + Math.abs(bin.predictions - bin.outcomes), 0);
  return own.weight > 0 ? distance / own.weight : 0;
}
