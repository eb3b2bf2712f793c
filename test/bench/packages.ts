/** The packages of Debian that each figure needs. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

export const PHP_CGI = "/usr/bin/php-cgi";
/** Debian names it after the version. */
export const PHP_FPM = join("/usr/sbin", readdirSync("/usr/sbin").find((name) => /^php-fpm\d/.test(name)) ?? "php-fpm");

/** A program of each package. */
const PROGRAMS = {
  iproute2: "/usr/sbin/ip",
  multiwatch: "/usr/bin/multiwatch",
  nginx: "/usr/sbin/nginx",
  "php-cgi": PHP_CGI,
  "php-fpm": PHP_FPM,
  runit: "/usr/bin/runsv",
  s6: "/usr/bin/s6-log",
  "spawn-fcgi": "/usr/bin/spawn-fcgi",
  supervisor: "/usr/bin/supervisord",
  wrk: "/usr/bin/wrk",
} as const;

type Package = keyof typeof PROGRAMS;

/** The packages of each figure, in the order in which the figures are measured. */
export const PACKAGES = {
  launch: ["runit"],
  respawn: ["php-cgi", "runit"],
  status: ["supervisor"],
  memory: ["s6", "supervisor"],
  log: ["s6"],
  fastcgi: ["multiwatch", "nginx", "php-cgi", "php-fpm", "spawn-fcgi", "supervisor", "wrk"],
  throughput: ["multiwatch", "nginx", "php-cgi", "spawn-fcgi", "wrk"],
  survival: ["nginx", "php-cgi", "s6"],
  "survival-docker": [],
  containers: ["nginx", "php-cgi", "s6"],
  sleeping: ["nginx", "php-cgi", "php-fpm", "s6"],
  scale: ["iproute2", "nginx", "s6"],
} as const satisfies Record<string, readonly Package[]>;

export type Figure = keyof typeof PACKAGES;

export const FIGURES = Object.keys(PACKAGES) as Figure[];

/** Packages of these figures whose program is missing. */
export const missingPackages = (
  figures: readonly Figure[],
  exists: (path: string) => boolean = existsSync,
): readonly string[] => {
  const needed = new Set<Package>(figures.flatMap((figure) => PACKAGES[figure]));
  return [...needed].filter((name) => !exists(PROGRAMS[name])).sort();
};
