/** An estimate in dollars for people: cents where there are dollars, three digits where there are none, to a nano-dollar. */
export function money(usd: number): string {
  if (Math.abs(usd) >= 0.995) return `$${usd.toFixed(2).replace(/\.00$/, '')}`;
  return `$${Number(Number(usd.toPrecision(3)).toFixed(9))}`;
}

/** Two amounts with as few decimals as tell them apart, two at least and nine at most: a change never reads as none. */
export function apart(usd: number, other: number): [string, string] {
  const [short, shortOther] = [money(usd), money(other)];
  if (short !== shortOther || usd === other) return [short, shortOther];
  let decimals = 3;
  while (decimals < 9 && usd.toFixed(decimals) === other.toFixed(decimals)) decimals++;
  return [`$${usd.toFixed(decimals)}`, `$${other.toFixed(decimals)}`];
}
