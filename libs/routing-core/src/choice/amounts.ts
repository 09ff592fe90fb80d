/** ".82", "1.5", "12". */
export function decimal(value: number): string {
  const text = value >= 10 ? value.toFixed(0) : String(Number(value.toPrecision(2)));
  return text.replace(/^0\./, '.');
}

/** Tells the costs of a sentence. One too small for their common decimals is told by two significant digits of its own. */
export function usdOf(...costs: readonly number[]): (value: number) => string {
  const common = decimalsFor(Math.max(...costs.map(Math.abs)), 3);
  return (value) => {
    const amount = Math.abs(value);
    return amountOf(value, amount < 0.5 / 10 ** common ? decimalsFor(amount, 2) : common);
  };
}

export function worthUsd(value: number): string {
  return amountOf(value, decimalsFor(Math.abs(value), 2));
}

/** As many as show so many significant digits: two at least, as money has, and nine at most, which are nano-dollars. */
function decimalsFor(amount: number, significant: number): number {
  return amount > 0 ? Math.min(9, Math.max(2, significant - 1 - Math.floor(Math.log10(amount)))) : 2;
}

/** Never in exponents. */
function amountOf(value: number, decimals: number): string {
  const text = Math.abs(value).toFixed(decimals);
  if (Number(text) === 0) return '$0';
  return `${value < 0 ? '-' : ''}$${text}`;
}
