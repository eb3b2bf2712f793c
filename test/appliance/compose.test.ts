import { DockerComposeEnvironment, type StartedDockerComposeEnvironment, Wait } from "testcontainers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Appliance, CHECKOUT, PROJECT, succeed } from "./appliance.ts";

let appliance: Appliance;
let started: StartedDockerComposeEnvironment | undefined;

beforeAll(async () => {
  appliance = await Appliance.prepare();
  const environment = Object.entries({ DMHOST_BUILD_CA: process.env["NODE_EXTRA_CA_CERTS"], ...appliance.environment });
  // The clean-up of testcontainers needs another image, and so a registry; remove() does it here.
  process.env["TESTCONTAINERS_RYUK_DISABLED"] = "true";
  started = await new DockerComposeEnvironment(CHECKOUT, "compose.yaml")
    .withProjectName(PROJECT)
    .withEnvironment(Object.fromEntries(environment.flatMap(([name, value]) => (value ? [[name, value]] : []))))
    .withBuild()
    .withWaitStrategy("supervisor-1", Wait.forHealthCheck())
    .withWaitStrategy("nginx-1", Wait.forHealthCheck())
    .up();
});
afterAll(async () => {
  await started?.down();
  await appliance?.remove();
});

it("docker compose up starts a demo site that answers", async () => {
  const nginx = started?.getContainer("nginx-1");
  expect(nginx?.getMappedPort(8080)).toBe(appliance.port);
  const { status, body } = await appliance.request("/");
  expect(status).toBe(200);
  expect(body).toContain("It runs.");
});

it.each([
  ["supervisor", 300],
  ["nginx", 100],
])("the image of %s takes at most %d MB", async (service, megabytes) => {
  const inspect = ["image", "inspect", "--format", "{{.Size}}", `${PROJECT}-${service}`];
  const size = await succeed(appliance.environment, "docker", ...inspect);
  expect(Number(size) / 1e6).toBeLessThanOrEqual(megabytes);
});

it("the image of the supervisor has a dmctl for the host, of the recorded checksum", async () => {
  const unpack = "cd /tmp && gzip -dc /usr/local/share/dmhost/dmctl.gz >dmctl && sha256sum -c";
  const checked = await appliance.shell("supervisor", `${unpack} /usr/local/share/dmhost/dmctl.sha256; rm dmctl`);
  expect(checked).toBe("dmctl: OK");
});
