/** Images of containers over the control API. */
import { afterEach, expect, test } from "vitest";
import { FakeEngine, fakeDaemon, fakeSurroundings, serve } from "../engine.fake.ts";
import type { Surroundings } from "../server.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const FOUND = [
  {
    image: "docker.io/library/php:8",
    recorded: "sha256:a",
    present: "sha256:b",
    moved: true,
    usedBy: ["amy/blog", "bob/x"],
  },
  { image: "docker.io/library/node:24", moved: false, usedBy: ["bob/x"] },
  { image: "docker.io/library/perl:5", present: "sha256:c", moved: false, usedBy: [] },
];

const api = async (parts: Partial<Surroundings> = {}) => {
  const about = fakeSurroundings({ images: async () => FOUND, ...parts });
  const { ask, close } = await serve(new FakeEngine(fakeDaemon("amy/blog")), about);
  closing.push(close);
  return ask;
};

test("root sees every image, and its state", async () => {
  const { body } = await (await api())("root", "GET /v1/images");
  expect(body.images).toEqual([
    {
      image: "docker.io/library/php:8",
      state: "moved",
      recorded: "sha256:a",
      present: "sha256:b",
      usedBy: ["amy/blog", "bob/x"],
    },
    { image: "docker.io/library/node:24", state: "absent", recorded: "", present: "", usedBy: ["bob/x"] },
    { image: "docker.io/library/perl:5", state: "present", recorded: "", present: "sha256:c", usedBy: [] },
  ]);
});

test("a tenant sees only the images of daemons that they may control, and no other account's daemon", async () => {
  const { body } = await (await api())("amy", "GET /v1/images");
  expect(body.images).toMatchObject([{ image: "docker.io/library/php:8", usedBy: ["amy/blog"] }]);
});

test("only root accepts an image, by its complete name", async () => {
  const accepted: string[] = [];
  const ask = await api({ acceptImage: async (image) => void accepted.push(image) });
  const refused = await ask("amy", "POST /v1/images/accept", { image: "php:8" });
  expect([refused.status, refused.body.message]).toEqual([403, "only root may do this, and you are amy"]);
  expect((await ask("root", "POST /v1/images/accept", { image: "php:8" })).body).toEqual({
    image: "docker.io/library/php:8",
  });
  expect(accepted).toEqual(["docker.io/library/php:8"]);
  const { status, body } = await ask("root", "POST /v1/images/accept", { image: "../x" });
  expect([status, body.code]).toEqual([400, "usage"]);
});

test("why there are no images, or one is not accepted, reaches the caller", async () => {
  const no = async (): Promise<never> => {
    throw new Error("containers are not enabled here");
  };
  const ask = await api({ images: no, acceptImage: no });
  for (const { status, body } of [
    await ask("root", "GET /v1/images"),
    await ask("root", "POST /v1/images/accept", { image: "php:8" }),
  ])
    expect([status, body.code, body.message]).toEqual([409, "not-applicable", "containers are not enabled here"]);
});
