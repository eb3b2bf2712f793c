/** What the name of an image means: a record of its first use, and whether that is still so. */
import { describeImage, type ImageName, imageName } from "../../../supervisor/src/core/image.ts";
import type { PresentImage } from "./engine.ts";
import { ContainerRefusal } from "./refusal.ts";

/** Whether a name says itself what it means. */
export const isPinned = ({ version }: ImageName): boolean => version.startsWith("@");

/** Digests of an image in the repository of a name. */
const digestsOf = ({ repository }: ImageName, { digests }: PresentImage): string[] =>
  digests
    .flatMap((text) => imageName(text) ?? [])
    .filter((digest) => digest.repository === repository && isPinned(digest))
    .map(({ version }) => version.slice(1))
    .sort();

/** What a name means: its digest there, or the image's id where it has none, as one that was built on this machine. */
export const meaningOf = (name: ImageName, image: PresentImage): string => digestsOf(name, image)[0] ?? image.id;

/** Whether a name still means what was recorded. A digest and an id are never the same text. */
export const isMeant = (name: ImageName, image: PresentImage, recorded: string): boolean =>
  image.id === recorded || digestsOf(name, image).includes(recorded);

/** @throws ContainerRefusal where a name does not mean what was recorded */
export const requireMeant = (name: ImageName, image: PresentImage, recorded: string): void => {
  if (isPinned(name) || isMeant(name, image, recorded)) return;
  const now = meaningOf(name, image);
  const text = describeImage(name);
  throw new ContainerRefusal(
    "moved",
    `${text} was ${recorded} at its first use, and is ${now} now; where that is right, root runs: dmctl images accept ${text}`,
  );
};
