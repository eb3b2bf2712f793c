/** The command about images of containers. */
import { EXIT, type ImageList, type ImageStatus } from "@dmhost/contract";
import { misuse } from "../failure.ts";
import { oneLine } from "../printable.ts";
import { show } from "./answer.ts";
import type { Command } from "./command.ts";

/** Characters of a digest or an Id that are shown. */
const SHORT = 12;
const short = (digest: string): string => digest.replace(/^.*sha256:/, "").slice(0, SHORT) || "-";

const row = (cells: readonly string[], widths: readonly number[]): string =>
  `${cells
    .map((cell, index) => cell.padEnd(widths[index] ?? 0))
    .join("  ")
    .trimEnd()}\n`;

const cellsOf = ({ image, state, recorded, present, usedBy }: ImageStatus): readonly string[] =>
  [image, state, short(recorded), short(present), usedBy.join(" ") || "-"].map(oneLine);

/** A table of the images, then a line for each grant. */
const imagesText = ({ images, granted }: ImageList): string => {
  const rows = [["IMAGE", "STATE", "RECORDED", "PRESENT", "USED BY"], ...images.map(cellsOf)];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const table = images.length === 0 ? "no image is used\n" : rows.map((cells) => row(cells, widths)).join("");
  const grants = granted.map(
    ({ holder, object, source }) => `${oneLine(`granted to ${holder}: ${object} (${source})`)}\n`,
  );
  const moved = images.filter(({ state }) => state === "moved");
  const advice = moved.map(
    ({ image }) => `${oneLine(`${image} has moved: root accepts that with  dmctl images accept ${image}`)}\n`,
  );
  return [table, ...grants, ...advice].join("");
};

export const IMAGES: Command = {
  name: "images",
  takes: "acceptance",
  options: ["json"],
  summary: "list the images of containers, or accept one that has moved",
  about:
    "Shows each image that a conf file names: whether this machine has it, what its name meant at its first use, what it " +
    "means now, and the daemons that use it; then what \\[images\\] of the policy grants. A name that means another image " +
    "than at its first use has *moved*: no container is made of it until root has looked at it and given **accept**.",
  examples: ["dmctl images", "dmctl images accept php:8.4-fpm"],
  async run(call) {
    const [verb, image] = call.ids;
    if (verb === undefined) {
      const found = await call.client.call("listImages");
      return show(call, found, imagesText(found));
    }
    if (verb !== "accept" || image === undefined)
      throw misuse('"images" takes no words, or accept and an image, as in "dmctl images accept php:8.4-fpm"');
    const accepted = await call.client.call("acceptImage", { body: { image } });
    return show(call, accepted, `accepted: ${oneLine(accepted.image)}\n`, EXIT.done);
  },
};
