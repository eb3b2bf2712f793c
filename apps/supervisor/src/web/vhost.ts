/**
 * The text of the vhosts that the web server gets, out of checked values alone
 * (docs/explanation/security.md#21).
 */
import type { Hostname } from "../core/hostname.ts";
import type { Site, SitePath } from "../core/site.ts";
import { UNAVAILABLE_PAGE } from "./error-page.ts";

declare const checked: unique symbol;

/** Unique per daemon, compared without case. */
type UpstreamName = string & { readonly [checked]: "upstream" };

/** Nginx takes a backslash away before `"` and `\` (ngx_conf_read_token). */
const quoted = (path: SitePath | `unix:${SitePath}`): string => `"${path.replace(/["\\]/g, "\\$&")}"`;

/** Nginx compares names without case, so capital letters become numbers, as everything but a-z and 0-9 does. */
const plain = (text: string): string =>
  [...text].map((c) => (/[a-z0-9]/.test(c) ? c : `_${c.codePointAt(0)?.toString(16)}_`)).join("");

const upstreamOf = (id: string): UpstreamName => `site_${plain(id)}` as UpstreamName;

/** Path of one of a host's two logs. */
export const siteLog = (logs: SitePath, host: Hostname, kind: "access" | "error"): SitePath =>
  `${logs}/${host}.${kind}.log` as SitePath;

/** Never sent as a file: names that begin with a dot, editors' copies, and programs. */
const HIDDEN = String.raw`/\.(?!well-known/)`;
const COPIES = String.raw`~$|\.(?:bak|swp|orig|old|save)$`;
const PROGRAMS = String.raw`\.(?:php|php\d|phps|phtml|pht|phar|inc|cgi|fcgi|pl|py|rb)$`;
/** PROGRAMS without files for php-cgi. PHP runs .php alone, but .PHP is a program too. */
const OTHER_PROGRAMS = String.raw`\.(?:php\d|phps|phtml|pht|phar|inc|(?!(?-i:php)$)php)$`;

const location = (where: string, lines: readonly string[]): string[] => [
  `location ${where} {`,
  ...lines.map((line) => `  ${line}`),
  "}",
];

const pass = (app: "php" | "fastcgi" | "http", id: string): string[] => {
  const upstream = upstreamOf(id);
  if (app === "http") return ["include proxy_params;", `proxy_pass http://${upstream};`];
  return [...(app === "fastcgi" ? ["include fastcgi_app_params;"] : []), `fastcgi_pass ${upstream};`];
};

/** The locations of a server. */
const locations = (site: Site): string[] => {
  const { app, id } = site;
  if (app === "static") {
    return [
      ...location(`~* "${HIDDEN}|${COPIES}|${PROGRAMS}"`, ["return 404;"]),
      ...location("/", ["try_files $uri $uri/ =404;"]),
    ];
  }
  if (app === "php") {
    const front = site.index.find((name) => /\.php$/.test(name));
    return [
      ...location(`~* "${HIDDEN}|${COPIES}|${OTHER_PROGRAMS}"`, ["return 404;"]),
      // Only a file whose own name ends with .php is run, not /picture.jpg/x.php.
      ...location('~ "\\.php$"', ["try_files $fastcgi_script_name =404;", ...pass(app, id)]),
      ...location("/", [`try_files $uri $uri/ ${front === undefined ? "=404" : `/${front}?$args`};`]),
    ];
  }
  if (site.docroot === undefined) return location("/", pass(app, id));
  return [
    ...location(`~* "${HIDDEN}|${COPIES}|${PROGRAMS}"`, pass(app, id)),
    ...location("/", ["try_files $uri @app;"]),
    ...location("@app", pass(app, id)),
  ];
};

const upstream = (id: string, socket: SitePath): string[] => {
  // Named twice, so that an idempotent request whose process dies under it is tried again.
  const server = `  server ${quoted(`unix:${socket}`)} max_fails=0;`;
  return [`upstream ${upstreamOf(id)} {`, server, server, "}"];
};

const server = (owner: string, site: Site, host: Hostname): string[] => {
  const own = [
    "include listen.conf;",
    `server_name ${host};`,
    // The key by which nginx.conf counts requests of an owner's sites.
    `set $site_owner ${plain(owner)};`,
    ...(site.docroot === undefined ? [] : [`root ${quoted(site.docroot)};`]),
    ...(site.app === "php" || site.app === "static" ? [`index ${site.index.join(" ")};`] : []),
    // From / on: a docroot may be a link itself.
    "disable_symlinks if_not_owner;",
    `client_max_body_size ${site.maxBody};`,
    `access_log ${quoted(siteLog(site.logs, host, "access"))} site;`,
    `error_log ${quoted(siteLog(site.logs, host, "error"))} warn;`,
    ...(site.app === "static" ? [] : [`${site.app === "http" ? "proxy" : "fastcgi"}_intercept_errors off;`]),
    // Nginx answers 503 itself when a site has more requests than nginx.conf allows.
    "error_page 502 503 504 =503 @unavailable;",
    ...location("@unavailable", [
      "default_type text/html;",
      "add_header Retry-After 5 always;",
      "add_header Cache-Control no-store always;",
      `return 503 '${UNAVAILABLE_PAGE}';`,
    ]),
    ...locations(site),
  ];
  return ["server {", ...own.map((line) => `  ${line}`), "}"];
};

/**
 * The vhosts of one daemon, one server a host, below the line `# site ID` that begins them;
 * "" where it has none. The daemon's socket is named whatever its state.
 * @param owner name of the daemon's owner
 */
export const renderSite = (owner: string, site: Site): string => {
  if (site.hosts.length === 0) return "";
  const lines = [
    `# site ${site.id}`,
    ...(site.app === "static" ? [] : upstream(site.id, site.socket)),
    ...site.hosts.flatMap((host) => server(owner, site, host)),
  ];
  return `${lines.join("\n")}\n`;
};
