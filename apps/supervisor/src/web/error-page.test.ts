import { expect, it } from "vitest";
import { UNAVAILABLE_PAGE } from "./error-page.ts";

it("the page for an unavailable site can stand between single quotes in Nginx's configuration", () => {
  expect(UNAVAILABLE_PAGE).not.toMatch(/['\\$\n]/);
});

it("the page for an unavailable site asks visitors to try again, and loads nothing", () => {
  expect(UNAVAILABLE_PAGE).toMatch(
    /^<!DOCTYPE html><html lang="en">.*<h1>.*<\/h1><p>Please try again in a few seconds/,
  );
  expect(UNAVAILABLE_PAGE).not.toMatch(/\b(?:src|href|url)\b|<script/);
});
