/** Points in time as people write them. */
const SECONDS: Readonly<Record<string, number>> = { w: 604_800, d: 86_400, h: 3_600, m: 60, s: 1 };

/**
 * The moment, in ms since 1970, that a text stands for: a duration before `now` with the units w d h m s (`1h30m`), or
 * a time of ISO 8601, local unless it says otherwise (a date alone is its midnight). Undefined for anything else.
 */
export const readMoment = (text: string, now: number): number | undefined => {
  if (/^(?:\d{1,9}[wdhms])+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+)([wdhms])/g)];
    return now - parts.reduce((sum, [, amount, unit = ""]) => sum + Number(amount) * (SECONDS[unit] ?? 0), 0) * 1000;
  }
  const [, date, time, zone = ""] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? [];
  if (date === undefined) return undefined;
  const moment = new Date(`${date}T${time ?? "00:00"}${zone}`).getTime();
  return Number.isNaN(moment) ? undefined : moment;
};
