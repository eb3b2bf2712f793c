import { readLimit } from "./amounts.ts";

/** What readBytes takes, in words that can follow "expected". */
export const BYTES = "a number of bytes, or one with K, M or G after it, of at least 4096";
/** What readMemory takes. */
export const MEMORY = "a number of bytes, or one with K, M or G after it, of at least 1M";
/** What readCores takes. */
export const CORES = "a number of processors from 0.01 to 1024, such as 0.5";

const LEAST_BYTES = 4096;
/** No program starts with less. */
const LEAST_MEMORY = 1 << 20;
/** What no machine has: the kernel takes a 64-bit number, and numbers here are exact up to 2^53. */
const MOST_BYTES = 2 ** 50;
const MOST_PROCESSES = 4_194_304;
const LEAST_CORES = 0.01;
const MOST_CORES = 1024;

/** A number of bytes (K is 1024); undefined where the text is no such number. */
export const readBytes = (text: string): number | undefined => {
  const bytes = text.includes(":") ? undefined : readLimit(text, "bytes")?.soft;
  return typeof bytes === "number" && bytes >= LEAST_BYTES && bytes <= MOST_BYTES ? bytes : undefined;
};

/** A number of bytes that a program may have as memory. */
export const readMemory = (text: string): number | undefined => {
  const bytes = readBytes(text);
  return bytes !== undefined && bytes >= LEAST_MEMORY ? bytes : undefined;
};

/** A number of processes and threads. */
export const readProcesses = (text: string): number | undefined =>
  /^[1-9]\d{0,6}$/.test(text) && Number(text) <= MOST_PROCESSES ? Number(text) : undefined;

/** A number of processors, to the hundredth. */
export const readCores = (text: string): number | undefined => {
  const cores = /^\d{1,4}(\.\d{1,2})?$/.test(text) ? Number(text) : Number.NaN;
  return cores >= LEAST_CORES && cores <= MOST_CORES ? cores : undefined;
};
