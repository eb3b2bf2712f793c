/** A tenant's site with Debian's WordPress: a copy of the program and a wp-config.php. */
import { chmodSync, chownSync } from "node:fs";
import { join } from "node:path";
import type { Account } from "../account.ts";
import { type Page, requestPage } from "../fastcgi-client.ts";
import { succeed } from "../program.ts";
import { CREDENTIALS } from "./database.ts";

const PROGRAM = "/usr/share/wordpress";

/** Nothing listens at port 1, so that WordPress gets no answer when it requests its own site. */
const HOST = "127.0.0.1:1";

const configuration = (database: string): string => `<?php
define('DB_NAME', '${CREDENTIALS.database}');
define('DB_USER', '${CREDENTIALS.user}');
define('DB_PASSWORD', '${CREDENTIALS.password}');
define('DB_HOST', 'localhost:${database}');
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);
define('WP_DEFAULT_THEME', 'felt');
function wp_mail() { return true; }
$table_prefix = 'wp_';
require_once __DIR__ . '/wp-settings.php';
`;

/** A theme, because Debian's package has none and the theme packages change their names with each release. */
const THEME: Readonly<Record<string, string>> = {
  "style.css": "/* Theme Name: Felt */\n",
  "index.php": `<!DOCTYPE html>
<title><?php bloginfo('name'); ?></title>
<?php while (have_posts()) { the_post(); the_title('<h1>', '</h1>'); the_content(); } ?>
`,
};

/** Copies WordPress into the account's home, configured for this database socket; returns its private directory. */
export const copyWordpress = async (account: Account, database: string): Promise<string> => {
  const directory = account.makeDirectory("wordpress");
  const copied = await account.run(["cp", "-rL", `${PROGRAM}/.`, directory]);
  if (copied.code !== 0) throw new Error(`copying ${PROGRAM}: ${copied.stderr}`);
  account.write("wordpress/wp-config.php", configuration(database));
  for (const [file, text] of Object.entries(THEME)) account.write(`wordpress/wp-content/themes/felt/${file}`, text);
  chmodSync(join(directory, "wp-content/themes/felt"), 0o755);
  return directory;
};

export class Wordpress {
  /** Directory of the site, in which php-cgi binds its socket. */
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Copies WordPress into the account's home; `group` may read it and bind a socket there. */
  static async make(account: Account, group: string, database: string): Promise<Wordpress> {
    const directory = await copyWordpress(account, database);
    chownSync(directory, account.uid, Number((await succeed("getent", "group", group)).split(":")[2]));
    chmodSync(directory, 0o770);
    chmodSync(account.home, 0o711);
    return new Wordpress(directory);
  }

  get socket(): string {
    return join(this.directory, "wordpress.socket");
  }

  /** Requests a script's page; `form` makes it a POST. */
  page(path: string, query = "", form?: Readonly<Record<string, string>>): Promise<Page> {
    return this.#request(path, path, query, form);
  }

  /** Requests the front page. */
  frontPage(): Promise<Page> {
    return this.#request("/", "/index.php");
  }

  #request(uri: string, path: string, query = "", form?: Readonly<Record<string, string>>): Promise<Page> {
    const address = query === "" ? uri : `${uri}?${query}`;
    return requestPage(this.socket, {
      file: join(this.directory, path),
      path,
      query,
      ...(form === undefined ? {} : { form: new URLSearchParams(form).toString() }),
      more: {
        HTTP_HOST: HOST,
        REQUEST_URI: address,
        SERVER_NAME: "127.0.0.1",
        SERVER_PORT: "1",
        REMOTE_ADDR: "127.0.0.1",
      },
    });
  }
}
