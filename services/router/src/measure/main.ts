import { DecisionMeasurement } from './decision.js';

/** Prints one JSON object: how long decisions of this router take here. The argument is how many are measured. */
console.log(JSON.stringify(await new DecisionMeasurement().measure(Number(process.argv[2] ?? 20_000))));
