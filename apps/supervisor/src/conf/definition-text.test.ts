import { expect, test } from "vitest";
import { parseDaemonFile } from "./daemon-file.ts";
import { definitionText } from "./definition-text.ts";

const TEXT = `start = exec php-cgi -q "a # b"; true
dir = ~/site
user = www-data
output = log
listen = http
instances = 3
ready = fd:4
drain = 90s
limit-nofile = 100:unlimited
memory = 64M
cpu = 0.5
log-select = "-* x" +y*
host = blog.example.org, www.example.org
index = a.php, b.html
export A = 1 = 2
export B =
`;

test("the text of a definition is read as the same definition", () => {
  for (const text of [TEXT, "start = x", "image = php:8.4-fpm\nnetwork = outbound"]) {
    const { value, errors } = parseDaemonFile(text);
    expect(errors).toEqual([]);
    if (value) expect(parseDaemonFile(definitionText(value) ?? "").value).toEqual(value);
  }
});
