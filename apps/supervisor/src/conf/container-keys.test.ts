/** The keys `image` and `network`. */
import { expect, test } from "vitest";
import { parseDaemonFile } from "./daemon-file.ts";

const PHP = { repository: "docker.io/library/php", version: ":8.4-fpm" };

test("a container executes the image's own command, or start", () => {
  expect(parseDaemonFile("image = php:8.4-fpm").value).toMatchObject({ image: PHP, network: "none", start: "" });
  const text = "image = docker.io/library/php:8.4-fpm # the official one\nnetwork = outbound\nstart = exec php-cgi";
  expect(parseDaemonFile(text).value).toMatchObject({ image: PHP, network: "outbound", start: "exec php-cgi" });
});

test.each([
  [
    "image = PHP\nnetwork = host",
    [
      '1: image: expected the name of an image such as php:8.4-fpm or ghcr.io/david/app@sha256:..., found "PHP"',
      '2: network: expected none or outbound, found "host"',
    ],
  ],
  [
    "image = php:8.4-fpm\nchroot = ~/jail",
    ["2: chroot: cannot be combined with image, because a container has its own root directory: expected one of them"],
  ],
  [
    "image = php:8.4-fpm\nlisten = path",
    [
      "2: listen=path: cannot be combined with image, because the directory of that socket is outside of the container: " +
        "expected another listen",
    ],
  ],
])("%j is refused", (text, errors) => {
  const parsed = parseDaemonFile(text);
  expect(parsed.value).toBeUndefined();
  expect(parsed.errors.map(({ line, text }) => `${line}: ${text}`)).toEqual(errors);
});

test("network has no effect without image", () => {
  const { value, warnings } = parseDaemonFile("start = x\nnetwork = none");
  expect(value?.image).toBeUndefined();
  expect(warnings).toEqual([{ line: 2, text: "network has no effect without image" }]);
});
