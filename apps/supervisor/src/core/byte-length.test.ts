import fc from "fast-check";
import { expect, test } from "vitest";
import { byteLength } from "./byte-length.ts";

test("byteLength agrees with Node for any text, lone surrogates included", () => {
  const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(unit).map((units) => units.join("")),
        fc.string({ unit: "grapheme" }),
      ),
      (text) => {
        expect(byteLength(text)).toBe(Buffer.byteLength(text));
      },
    ),
    { examples: ["\u007f", "\u0080", "\u07ff", "\u0800"].map((text) => [text]) },
  );
});
