import { expect, test } from "vitest";
import { type ImageName, imageName } from "../../../supervisor/src/core/image.ts";
import { isMeant, meaningOf, requireMeant } from "./image-meaning.ts";
import { presentImage } from "./parts.fake.ts";

const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;
const named = (text: string): ImageName => {
  const name = imageName(text);
  if (name === undefined) throw new Error(text);
  return name;
};
const php = named("php:8.4-fpm");

test("a name means the digest in its repository, in whichever form the engine writes that", () => {
  const image = presentImage({ digests: [`other@${digest("a")}`, `php@${digest("b")}`] });
  expect(meaningOf(php, image)).toBe(digest("b"));
  expect(meaningOf(named("docker.io/library/other"), image)).toBe(digest("a"));
});

test("the name of an image that was built here means its id", () => {
  expect(meaningOf(php, presentImage({ digests: [`other@${digest("a")}`] }))).toBe(digest("1"));
});

test("a name still means what was recorded where the id is the same, or one of the digests in its repository", () => {
  const image = presentImage({ digests: [`php@${digest("b")}`, `php@${digest("c")}`] });
  expect([digest("1"), digest("b"), digest("c")].every((recorded) => isMeant(php, image, recorded))).toBe(true);
  expect(isMeant(php, image, digest("d"))).toBe(false);
  expect(isMeant(php, presentImage({ digests: [`evil@${digest("b")}`] }), digest("b"))).toBe(false);
});

test("a moved name is refused with both meanings and the command that accepts it", () => {
  expect(() => requireMeant(php, presentImage(), digest("b"))).toThrow(
    `docker.io/library/php:8.4-fpm was ${digest("b")} at its first use, and is ${digest("1")} now; ` +
      "where that is right, root runs: dmctl images accept docker.io/library/php:8.4-fpm",
  );
});

test("a name with a digest needs no record", () => {
  expect(() => requireMeant(named(`php@${digest("e")}`), presentImage(), digest("b"))).not.toThrow();
});
