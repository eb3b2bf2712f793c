/** GET /v1/images and POST /v1/images/accept: the images of containers. */
import type { Static } from "typebox";
import { GrantedRight } from "./policy.ts";
import { list, oneOf, record, request, text, texts } from "./shapes.ts";

export const ImageStatus = record("An image that a container was made of, or that a conf file names.", {
  image: text("Its complete name, such as `docker.io/library/php:8.4-fpm`."),
  state: oneOf(
    ["present", "absent", "moved"],
    "`moved`: its name means another image than at its first use, and no container is made of it until root accepts that.",
  ),
  recorded: text('What the name meant at its first use, or when root accepted it: a digest or an Id; "" before that.'),
  present: text('What it means on this machine now; "" where the machine has no such image.'),
  usedBy: texts("`<owner>/<name>` of each daemon whose conf file names it and that the caller may control."),
});
export type ImageStatus = Static<typeof ImageStatus>;

export const ImageList = record("Images that daemons of the caller's use, and those that the policy grants.", {
  images: list(ImageStatus, "In the order of their names. Root gets all."),
  granted: list(GrantedRight, "Grants of [images] for owners whose daemons the caller may control."),
});
export type ImageList = Static<typeof ImageList>;

export const ImageAcceptance = request("The image whose name may mean another one from now on.", {
  image: text("Its name, as a conf file has it.", { maxLength: 400 }),
});
export type ImageAcceptance = Static<typeof ImageAcceptance>;

export const ImageAccepted = record("The name means what the machine has now.", {
  image: text("Its complete name."),
});
export type ImageAccepted = Static<typeof ImageAccepted>;
