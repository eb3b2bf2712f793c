/** The images of containers: what daemons use, and what root accepts. */
import type { ImageStatus } from "@dmhost/contract";
import { ownerOf } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import { describeImage, imageName } from "../../core/image.ts";
import { mayControl } from "../access.ts";
import { Refusal } from "../refusal.ts";
import type { ContainerImages, PolicyFile, UsedImage } from "../surroundings.ts";
import type { Handlers } from "./handlers.ts";

const stateOf = ({ moved, present }: UsedImage): ImageStatus["state"] =>
  moved ? "moved" : present === undefined ? "absent" : "present";

/** The broker's words reach the caller: they are about images, and name no other account's daemon. */
const orRefusal = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    throw new Refusal("not-applicable", messageOf(error));
  }
};

export const imageRoutes = (
  about: ContainerImages & Pick<PolicyFile, "policyFile">,
): Handlers<"listImages" | "acceptImage"> => ({
  async listImages({ engine, caller }) {
    const isMine = (owner: string): boolean => mayControl(engine, caller, owner);
    const found = await orRefusal(about.images());
    const images = found.map((each) => ({
      image: each.image,
      state: stateOf(each),
      recorded: each.recorded ?? "",
      present: each.present ?? "",
      usedBy: each.usedBy.filter((daemon) => isMine(ownerOf(daemon))),
    }));
    const granted = engine.policy.rights().images.filter(({ holder }) => isMine(holder));
    return {
      images: images.filter(({ usedBy }) => caller.uid === 0 || usedBy.length > 0),
      granted: granted.map(({ holder, object, line }) => ({ holder, object, source: `${about.policyFile}:${line}` })),
    };
  },
  async acceptImage({ body }) {
    const name = imageName(body.image);
    if (name === undefined)
      throw new Refusal("usage", `${JSON.stringify(body.image)} names no image; write one such as php:8.4-fpm`);
    const image = describeImage(name);
    await orRefusal(about.acceptImage(image));
    return { image };
  },
});
