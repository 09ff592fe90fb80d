import { measureDecision } from './decision.js';

/** One JSON object: how long decisions of this router take here. The argument is how many are measured. */
console.log(JSON.stringify(await measureDecision(Number(process.argv[2] ?? 20_000))));
