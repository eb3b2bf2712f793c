import { expect, test } from "vitest";
import { coversImage, describeImage, describeImagePattern, imageName, imagePattern } from "./image.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const named = (text: string): string | undefined => {
  const name = imageName(text);
  return name && describeImage(name);
};

test.each([
  ["php", "docker.io/library/php:latest"],
  ["php:8.4-fpm", "docker.io/library/php:8.4-fpm"],
  ["david/app", "docker.io/david/app:latest"],
  ["docker.io/library/php:8.4-fpm", "docker.io/library/php:8.4-fpm"],
  ["index.docker.io/library/php", "docker.io/library/php:latest"],
  ["ghcr.io/david/app/web:v1", "ghcr.io/david/app/web:v1"],
  ["localhost/app", "localhost/app:latest"],
  ["localhost:5000/app:2", "localhost:5000/app:2"],
  ["localhost:5000", "docker.io/library/localhost:5000"],
  [`python@${DIGEST}`, `docker.io/library/python@${DIGEST}`],
  [`python:3.12@${DIGEST}`, `docker.io/library/python@${DIGEST}`],
  ["a__b/c-d.e_f:T_1.x", "docker.io/a__b/c-d.e_f:T_1.x"],
])("the image %s is %s", (text, whole) => {
  expect(named(text)).toBe(whole);
});

test.each([
  "",
  "PHP",
  "php:",
  "php:a b",
  "php:$(id)",
  "../php",
  "/php",
  "php/",
  "a//b",
  "a..b",
  "-a",
  "php@sha256:12",
  `php@sha512:${"0".repeat(128)}`,
  `php@${DIGEST}@${DIGEST}`,
  "ghcr.io:/a",
  "ghcr.io:123456/a",
  "exa_mple.org/a",
  `php:${"x".repeat(129)}`,
  "x".repeat(260),
  "php:*",
  "ghcr.io/*",
  "php\n",
])("%j names no image", (text) => {
  expect(named(text)).toBeUndefined();
});

const covers = (pattern: string, image: string): boolean => {
  const [grant, name] = [imagePattern(pattern), imageName(image)];
  if (!grant || !name) throw new Error(`${pattern} or ${image} is wrong`);
  return coversImage(grant, name);
};

test("a grant of one image is for its version alone", () => {
  expect(covers("php:8.4-fpm", "docker.io/library/php:8.4-fpm")).toBe(true);
  expect(covers("php:8.4-fpm", "php:8.3-fpm")).toBe(false);
  expect(covers("php:8.4-fpm", "ghcr.io/library/php:8.4-fpm")).toBe(false);
  expect(covers("php", "php:8.4")).toBe(false);
  expect(covers(`php@${DIGEST}`, `php:8.4@${DIGEST}`)).toBe(true);
});

test("a grant of all versions is for one repository alone", () => {
  expect(covers("php:*", "php:8.3")).toBe(true);
  expect(covers("php:*", `php@${DIGEST}`)).toBe(true);
  expect(covers("php:*", "david/php:8.3")).toBe(false);
});

test("a grant of a path is for all repositories below it, and not for those that begin alike", () => {
  expect(covers("ghcr.io/david/*", "ghcr.io/david/a/b:1")).toBe(true);
  expect(covers("ghcr.io/david/*", "ghcr.io/david2/a:1")).toBe(false);
  expect(covers("ghcr.io/david/*", "ghcr.io/david:1")).toBe(false);
  expect(covers("ghcr.io/*", "ghcr.io/anna/a")).toBe(true);
  expect(covers("david/*", "david/app:2")).toBe(true);
  expect(covers("localhost:5000/*", "localhost:5000/a")).toBe(true);
});

test.each(["*", "/*", "a/*/b", "ghcr.io/DAVID/*", "php:8*", "*:*", "php:*@x", " /*"])("%j grants nothing", (text) => {
  expect(imagePattern(text)).toBeUndefined();
});

test("a grant is written with its registry", () => {
  const written = ["php:8.4", "php:*", "david/*", "ghcr.io/*"].map((text) => {
    const pattern = imagePattern(text);
    return pattern && describeImagePattern(pattern);
  });
  expect(written).toEqual(["docker.io/library/php:8.4", "docker.io/library/php:*", "docker.io/david/*", "ghcr.io/*"]);
});
