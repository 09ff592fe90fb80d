import { seededRandom } from '@meritorder/kernel';

/**
 * The corpus that estimates are measured on: texts that are hard to estimate, by name; each of the given number of UTF-16 units,
 * at least 1,000. For tests and benchmarks; always the same.
 */
export function adversarialTexts(units: number): ReadonlyMap<string, string> {
  const texts = singleTexts(units);
  return new Map([...texts, ...mixtures(units, [...texts.values()])]);
}

/** Pieces of the others in random lengths, one after the other, or over and over. */
function mixtures(units: number, texts: readonly string[]): [string, string][] {
  const random = seededRandom(77);
  return Array.from({ length: MIXTURES }, (_, i) => {
    let text = '';
    const longest = i % 3 === 0 ? 200 : units;
    while (text.length < units) {
      const source = texts[Math.floor(random() * texts.length)] as string;
      const length = Math.min(units - text.length, Math.floor(30 * (longest / 30) ** random()) + 1);
      const from = Math.floor(random() * (source.length - length));
      text += source.slice(from, from + length);
    }
    return [`mixture ${i + 1}`, text];
  });
}
const MIXTURES = 48;

function singleTexts(units: number): ReadonlyMap<string, string> {
  const random = seededRandom(20_240_601);
  const below = (n: number): number => Math.floor(random() * n);
  const pick = <T>(items: ArrayLike<T>): T => items[below(items.length)] as T;
  const fill = (piece: () => string): string => {
    let text = '';
    while (text.length < units) text += piece();
    return text.slice(0, units);
  };
  const point = (from: number, to: number) => (): string => String.fromCodePoint(from + below(to - from));
  const sentences = (list: readonly string[]) => (): string => `${pick(list)} `;
  const prose = sentences(ENGLISH);
  const middle = (outside: () => string, inside: () => string, share: number): string => {
    const hidden = fill(inside).slice(0, Math.floor(units * share));
    const around = fill(outside).slice(0, units - hidden.length);
    const at = Math.floor(around.length / 2);
    return around.slice(0, at) + hidden + around.slice(at);
  };
  const base64 = (): string => pick('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
  const commonPairs = ['th', 'he', 'in', 'er', 'an', 're', 'on', 'at', 'en', 'nd', 'ti', 'es', 'or', 'te', 'of'];
  return new Map([
    ['english prose', fill(prose)],
    ['one letter', fill(() => 'a')],
    ['one rare letter', fill(() => 'ø')],
    ['equals signs', fill(() => '=')],
    ['spaces', fill(() => ' ')],
    ['tabs and line ends', fill(() => pick([' ', '\t', '\n', '\r\n', '    ']))],
    ['line ends', fill(() => '\n')],
    ['carriage returns', fill(() => '\r')],
    ['tabs', fill(() => '\t')],
    ['digits', fill(point(48, 58))],
    ['digits and spaces', fill(() => `${below(1000)} `)],
    ['random small letters', fill(point(97, 123))],
    ['random capitals', fill(point(65, 91))],
    ['common pairs of letters', fill(() => pick(commonPairs))],
    ['pronounceable words', fill(() => `${pick('bdfgklmnprstv')}${pick('aeiou')}${random() < 0.2 ? ' ' : ''}`)],
    ['mixed case', fill(() => pick('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'))],
    ['alternating case', fill(() => 'aA')],
    ['signs', fill(point(33, 48))],
    ['printable ASCII', fill(point(33, 127))],
    ['one letter a word', fill(() => `${pick('abcdefghijklmnopqrstuvwxyz')} `)],
    ['base64', fill(base64)],
    ['hexadecimal', fill(() => pick('0123456789abcdef'))],
    ['bytes as latin1', fill(point(0, 256))],
    ['control characters', fill(point(0, 32))],
    [
      'long addresses',
      fill(() => `https://example.com/${below(1e9).toString(36)}/${below(1e9)}?q=${below(1e9).toString(16)}&lang=en `),
    ],
    ['code', fill(sentences(CODE))],
    ['json', fill(() => JSON.stringify({ id: below(1e6), name: pick(ENGLISH).slice(0, 12), ok: true, x: random() }))],
    ['emoji', fill(point(0x1f300, 0x1f650))],
    [
      'emoji runs',
      fill(() => String.fromCodePoint(0x1f300 + below(0x350)).repeat(1 + below(40)) + (random() < 0.1 ? ' ' : '')),
    ],
    ['one emoji', fill(() => '😀')],
    ['family emoji', fill(() => '👨‍👩‍👧‍👦')],
    ['combining marks', fill(() => pick('aeiou') + Array.from({ length: 6 }, point(0x300, 0x370)).join(''))],
    ['random han', fill(point(0x4e00, 0x9fff))],
    ['rare han', fill(point(0x3400, 0x4dbf))],
    ['random hangul', fill(point(0xac00, 0xd7a3))],
    ['random thai', fill(point(0xe01, 0xe5b))],
    ['random devanagari', fill(point(0x900, 0x97f))],
    ['random arabic', fill(point(0x600, 0x6ff))],
    ['random cyrillic', fill(point(0x400, 0x4ff))],
    ['living languages', fill(sentences(LANGUAGES))],
    ...LANGUAGES.map((text, i): [string, string] => [`language ${i + 1}`, fill(sentences([text]))]),
    ['narrow and wide forms', fill(point(0xff01, 0xffa0))],
    ['joined letters', fill(() => pick('abcdefgh') + pick('\u200b\u200c\u200d\u2060'))],
    ['rare planes', fill(point(0x1_0000, 0x1_f000))],
    ['private use', fill(point(0xe000, 0xf8ff))],
    ['symbols', fill(point(0x2190, 0x2bff))],
    ['lone surrogates', fill(() => '\ud800')],
    ['surrogates among letters', fill(() => `\udc00${pick('abc')}`)],
    ['any unit', fill(() => String.fromCharCode(below(0x1_0000)))],
    ['han hidden in prose', middle(prose, point(0x4e00, 0x9fff), 0.2)],
    ['rare planes hidden in prose', middle(prose, point(0x1_0000, 0x1_f000), 0.03)],
    ['rare planes hidden in spaces', middle(() => ' ', point(0x1_0000, 0x1_f000), 0.005)],
    ['letters hidden in prose', middle(prose, point(97, 123), 0.1)],
    ['pairs hidden in prose', middle(prose, () => pick(commonPairs), 0.3)],
    [
      'pairs hidden in spaces',
      middle(
        () => ' ',
        () => pick(commonPairs),
        0.07,
      ),
    ],
    [
      'pairs hidden in one letter',
      middle(
        () => 'a',
        () => pick(commonPairs),
        0.2,
      ),
    ],
    ['cyrillic hidden in a language', middle(sentences([LANGUAGES[5]]), point(0x400, 0x4ff), 0.08)],
    ['prose hidden in one letter', middle(() => 'a', prose, 0.3)],
    ['base64 hidden in code', middle(sentences(CODE), base64, 0.4)],
    ['signs hidden in equals signs', middle(() => '=', point(33, 48), 0.3)],
  ]);
}

const ENGLISH = [
  'The budget is a promise, and a promise that nobody can check is worth no more than the paper it was written on.',
  'Every request is estimated before it is sent, held against the budget while it runs, and settled when usage arrives.',
  'It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.',
  'Please summarise the attached report for an audience of engineers who have not followed the project until now.',
  'In 1969, three astronauts travelled 384,400 kilometres; two of them walked on the surface for 2 h 31 min.',
] as const;

const CODE = [
  'export function settle(hold: Hold, usage: Usage): Entry[] {\n  if (usage.total > hold.amount) return overrun(hold, usage);\n  return [];\n}\n',
  'for (let i = 0; i < items.length; i++) {\n    const item = items[i];\n    if (!item?.done) { queue.push(item); }\n}\n',
  'SELECT org, sum(cost_nanos) AS cost FROM ledger_entry WHERE booked_at >= $1 AND kind <> 7 GROUP BY org;\n',
  'def main(argv: list[str]) -> int:\n    """Runs it."""\n    parser = argparse.ArgumentParser()\n    return 0\n',
] as const;

/** The first article of the declaration of human rights. */
const LANGUAGES = [
  'Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem.',
  'Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.',
  'Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.',
  'Все люди рождаются свободными и равными в своем достоинстве и правах.',
  'يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا.',
  'כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון.',
  'सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।',
  'มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม',
  '人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。',
  'すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。',
  '모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.',
  'Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.',
  'Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt.',
] as const;
