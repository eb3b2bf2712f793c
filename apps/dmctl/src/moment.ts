/** Points in time as people write them. */
import { parseDuration } from "@dmhost/supervisor/units";

/**
 * The moment of a text, in ms since 1970: a duration before `now` (`1h30m`), or a time of ISO 8601, local unless it has a
 * zone (a date alone is its midnight). Undefined for any other text.
 */
export const readMoment = (text: string, now: number): number | undefined => {
  const duration = parseDuration(text);
  if (duration !== undefined) return now - duration;
  const [, date, time, zone = ""] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? [];
  if (date === undefined) return undefined;
  const moment = new Date(`${date}T${time ?? "00:00"}${zone}`).getTime();
  return Number.isNaN(moment) ? undefined : moment;
};
