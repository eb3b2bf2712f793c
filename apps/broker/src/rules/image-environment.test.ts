import { expect, test } from "vitest";
import { cleanEnvironment } from "./image-environment.ts";

test("a program gets the variables of its image but those that change how it is loaded, and names that are none", () => {
  const image = [
    "PATH=/bin",
    "LD_PRELOAD=/x",
    "LD_=",
    "DMHOST_VAR1=x",
    "A=1=2",
    "1A=x",
    "A B=x",
    "B",
    "=x",
    "C=\0",
    "LDX=y",
  ];
  expect(cleanEnvironment(image)).toEqual(["PATH=/bin", "A=1=2", "LDX=y"]);
});

test("the last of a name counts", () => {
  expect(cleanEnvironment(["A=1", "B=2", "A=3"])).toEqual(["A=3", "B=2"]);
});
