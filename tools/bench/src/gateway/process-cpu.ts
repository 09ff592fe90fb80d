import { readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second, whatever the machine (USER_HZ, man 5 proc). */
const MS_PER_TICK = 10;

/** User and system time of a process so far, milliseconds. @throws Error where there is no /proc. */
export function cpuMsOf(pid: number): number {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    throw new Error(`the CPU time of process ${pid} cannot be read: ${(error as Error).message}; it needs Linux`);
  }
  // The name, in brackets, may hold spaces: utime and stime are the 12th and 13th fields after it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}
