/** The level of a series on a day, counted from the first of the period that is forecast; days before it are negative. */
export type Level = (day: number, date: Date) => number;

/** Days before the period and in it, at most: levels made step by step begin there. */
const [FIRST_DAY, DAYS] = [-61, 92];

/** By name, the level of a series over its days; each call is another series. */
export const LEVELS: Record<string, (random: () => number) => Level> = {
  'same level': () => () => 1,
  'growing 1 to 3 % a day': (random) => trend(0.01 + 0.02 * random()),
  'shrinking 1 to 3 % a day': (random) => trend(-0.01 - 0.02 * random()),
  'wandering level': (random) => {
    let log = 0;
    const walk = Array.from({ length: DAYS }, () => Math.exp((log += 0.1 * normal(random))));
    return (day) => walk[day - FIRST_DAY]!;
  },
  'season of 28 days': (random) => {
    const phase = 2 * Math.PI * random();
    return (day) => 1 + 0.4 * Math.sin((2 * Math.PI * day) / 28 + phase);
  },
  'three days of the month x 2 to 5': (random) => {
    const [first, factor] = [1 + Math.floor(28 * random()), 2 + 3 * random()];
    return (_, date) => ((date.getUTCDate() - first + 31) % 31 < 3 ? factor : 1);
  },
  'level x 3 once': (random) => changeOnce(random, 3),
  'level x 0.3 once': (random) => changeOnce(random, 0.3),
  'stops for good': (random) => changeOnce(random, 0),
  starts: (random) => {
    const started = changeOnce(random, 2);
    return (day, date) => started(day, date) - 1;
  },
  'steps of x 0.3 to x 3 every ten days': (random) => {
    let log = 0;
    return remembered(random, 10, () => Math.exp((log = 0.5 * log + Math.log(3) * (2 * random() - 1))));
  },
  'used and not used by turns, of six days': (random) => {
    let used = random() < 0.5 ? 1 : 0;
    return remembered(random, 6, () => (used = 1 - used));
  },
};

function trend(logPerDay: number): Level {
  return (day) => Math.exp(logPerDay * day);
}

/** Some time between the 4th and the 22nd day of the period, with history and without. */
function changeOnce(random: () => number, factor: number): Level {
  const at = 3 + Math.floor(19 * random());
  return (day) => (day >= at ? factor : 1);
}

/** A level that stays for so many days on average, whatever it has stayed for. */
function remembered(random: () => number, meanDays: number, next: () => number): Level {
  let level = next();
  const levels = Array.from({ length: DAYS }, () => (level = random() < 1 / meanDays ? next() : level));
  return (day) => levels[day - FIRST_DAY]!;
}

/** Of mean 1. */
export function lognormal(random: () => number, spread: number): number {
  return Math.exp(spread * normal(random) - spread ** 2 / 2);
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
