import { Readable } from "node:stream";
import { VERSION } from "@dmhost/contract";
import { afterEach, expect, test } from "vitest";
import { run } from "../session.fake.ts";
import { apiError, daemon, type FakeAnswer, fakeSupervisor } from "../supervisor.fake.ts";

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
});

const supervisor = async (answers: Record<string, FakeAnswer>) => {
  const fake = await fakeSupervisor(answers);
  closing.push(fake.close);
  return fake;
};

const web = daemon("alice/web");
const outcome = (ok: boolean, reason = "", lastLogLine = "", advice = "") => ({
  ok,
  reason,
  lastLogLine,
  advice,
  daemon: ok ? web : { ...web, state: "failed", pid: 0 },
});

test("explain --policy takes three words, and its exit code is the answer", async () => {
  const answer = (allowed: boolean) => ({ allowed, reason: "so it is", source: "/etc/p.conf:9" });
  const { socket, requests } = await supervisor({
    "GET /v1/policy?caller=david&verb=restart&address=amy%2Fblog": () => answer(true),
    "GET /v1/policy?caller=amy&verb=run-as&address=www-data": () => answer(false),
  });
  expect(await run(socket, "explain --policy david restart amy/blog")).toEqual({
    code: 0,
    output: "yes: so it is (/etc/p.conf:9)\n",
    errors: "",
  });
  expect(await run(socket, "explain amy run-as www-data --policy")).toMatchObject({
    code: 1,
    output: "no: so it is (/etc/p.conf:9)\n",
  });
  expect(requests).toHaveLength(2);
  for (const line of ["explain --policy david restart", "explain a b c", "explain", "explain --policy a frob b/c"]) {
    expect((await run(socket, line)).code).toBe(2);
  }
  expect(requests).toHaveLength(2);
});

test("a misspelt verb of explain --policy is exit code 2 with a suggestion", async () => {
  const { code, errors } = await run("/nonexistent/command.sock", "explain --policy david restrt amy/blog");
  expect([code, errors.split("\n")[0]]).toEqual([2, 'dmctl: the policy has no verb "restrt": did you mean "restart"?']);
});

test("a failed start prints the last line of the log, escaped, and what to do", async () => {
  const { socket } = await supervisor({
    "POST /v1/daemons/web/start": () => outcome(false, "cannot start it", "no port\u001b[2J", "Free the port."),
  });
  expect((await run(socket, "start web")).errors).toBe(
    "dmctl: cannot start it\nit wrote: no port\\x1b[2J\nFree the port.\n",
  );
});

test("export prints the answer as JSON", async () => {
  const { socket } = await supervisor({ "GET /v1/export": () => ({ version: "1", daemons: [] }) });
  expect(JSON.parse((await run(socket, "export")).output)).toEqual({ version: "1", daemons: [] });
});

test("version prints the version, and with --json as JSON", async () => {
  expect(await run("/nowhere", "version")).toEqual({ code: 0, output: `dmctl ${VERSION}\n`, errors: "" });
  for (const line of ["version --json", "--version --json"])
    expect(JSON.parse((await run("/nowhere", line)).output)).toEqual({ version: VERSION });
});

test.each([
  ["hup web", "HUP"],
  ["web alarm", "ALRM"],
  ["web interrupt", "INT"],
  ["term web", "TERM"],
  ["web kill", "KILL"],
])("`dmctl %s` sends %s", async (line, signal) => {
  const { socket, requests } = await supervisor({ "POST /v1/daemons/web/kill": () => ({}) });
  expect((await run(socket, line)).code).toBe(0);
  expect(requests).toEqual([{ line: "POST /v1/daemons/web/kill", body: JSON.stringify({ signal }) }]);
});

test.each(["hup web", "web alarm", "web interrupt", "term web", "web kill -USR1"])(
  "`dmctl %s --json` prints the result of the contract, and a failure as JSON",
  async (line) => {
    const { socket } = await supervisor({ "POST /v1/daemons/web/kill": () => ({}) });
    expect(await run(socket, `${line} --json`)).toEqual({ code: 0, output: "{}\n", errors: "" });
    const refusing = await supervisor({
      "POST /v1/daemons/web/kill": () => apiError("not-applicable", "it has no process"),
    });
    expect(await run(refusing.socket, `${line} --json`)).toEqual({
      code: 1,
      output: "",
      errors: '{"error":{"code":"not-applicable","message":"it has no process"}}\n',
    });
  },
);

test("tai64nlocal needs no supervisor, and escapes control characters only on a terminal", async () => {
  const input = () => Readable.from([Buffer.from("@4000000037c219bf2ef0"), Buffer.from("2e94 \u001b[2J\n@4 \n")]);
  const piped = await run("/nowhere", "tai64nlocal --utc", { input: input() });
  expect(piped).toEqual({ code: 0, output: "1999-08-24 04:03:43.787492500 \u001b[2J\n@4 \n", errors: "" });
  const shown = await run("/nowhere", "tai64nlocal --utc", { input: input(), terminal: true });
  expect(shown.output).toBe("1999-08-24 04:03:43.787492500 \\x1b[2J\n@4 \n");
  const multilog = await run("/nowhere", "tai64nlocal --utc --multilog", { input: input() });
  expect(multilog.output).toBe("1999-08-24 04:04:05.787492500 \u001b[2J\n@4 \n");
});

test("tai64nlocal fails with the reason when its input cannot be read", async () => {
  const broken = new Readable({ read: (): void => void broken.destroy(new Error("EISDIR: illegal operation")) });
  const { code, errors } = await run("/nowhere", "tai64nlocal", { input: broken });
  expect([code, errors]).toEqual([1, "dmctl: cannot read standard input: EISDIR: illegal operation\n"]);
});

test("images prints a table, what is granted, and how a moved image is accepted; control characters are escaped", async () => {
  const image = { image: "docker.io/library/php:8", recorded: `sha256:${"a".repeat(64)}`, present: "" };
  const { socket } = await supervisor({
    "GET /v1/images": () => ({
      images: [
        { ...image, state: "moved", present: "docker.io/library/php@sha256:bb\u001b", usedBy: ["amy/blog", "amy/x"] },
        { ...image, image: "perl", state: "absent", recorded: "", usedBy: [] },
      ],
      granted: [{ holder: "amy", object: "docker.io/library/php:*", source: "/etc/p.conf:9" }],
    }),
  });
  const { code, output } = await run(socket, "images");
  expect([code, output]).toEqual([
    0,
    [
      "IMAGE                    STATE   RECORDED      PRESENT  USED BY",
      "docker.io/library/php:8  moved   aaaaaaaaaaaa  bb\\x1b   amy/blog amy/x",
      "perl                     absent  -             -        -",
      "granted to amy: docker.io/library/php:* (/etc/p.conf:9)",
      "docker.io/library/php:8 has moved: root accepts that with  dmctl images accept docker.io/library/php:8",
      "",
    ].join("\n"),
  ]);
});

test("images accept sends the name, and other words are misuse", async () => {
  const { socket, requests } = await supervisor({
    "POST /v1/images/accept": () => ({ image: "docker.io/library/php:8" }),
    "GET /v1/images": () => ({ images: [], granted: [] }),
  });
  expect((await run(socket, "images")).output).toBe("no image is used\n");
  expect(await run(socket, "images accept php:8")).toMatchObject({
    code: 0,
    output: "accepted: docker.io/library/php:8\n",
  });
  expect(requests.at(-1)?.body).toBe('{"image":"php:8"}');
  for (const line of ["images php:8", "images accept", "images drop php:8"])
    expect((await run(socket, line)).code).toBe(2);
});
