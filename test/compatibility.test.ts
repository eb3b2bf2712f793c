/** Backward compatibility of the control API: which changes of the OpenAPI document break it, one change a case. */

import { openapi } from "@dmhost/contract/openapi";
import { ENDPOINTS, type Endpoint } from "@dmhost/contract/schemas";
import { expect, test } from "vitest";
import { deprecated, nullable, optional, record, request, text } from "../packages/contract/src/schema/shapes.ts";
import { type Document, incompatibilities } from "./contract/compatibility.ts";

// biome-ignore lint/suspicious/noExplicitAny: each change reaches into another part of the document
type Any = any;
type Change = [title: string, change: (schemas: Any, paths: Any) => void, problem: string];

const copy = (): Any => JSON.parse(JSON.stringify(openapi()));

/** The problems of a change, those of DaemonStatus only where getDaemon answers it. */
const problemsOf = (change: Change[1]): string[] => {
  const current = copy();
  change(current.components.schemas, current.paths);
  return incompatibilities(copy() as Document, current as Document, ["0.1.0"]);
};

const log = (paths: Any): Any[] => paths["/v1/daemons/{address}/log"].get.parameters;

const BREAKS: Change[] = [
  [
    "a field of an answer is gone",
    (s) => delete s.DaemonStatus.properties.pid,
    "getDaemon answer.pid is gone and was not deprecated",
  ],
  [
    "a field of an answer gains null",
    (s) => (s.DaemonStatus.properties.pid.type = ["integer", "null"]),
    'getDaemon answer.pid was "integer" and is ["integer","null"]',
  ],
  [
    "a field of an answer changes its type",
    (s) => (s.DaemonStatus.properties.pid.type = "string"),
    'getDaemon answer.pid was "integer" and is "string"',
  ],
  [
    "an integer of an answer gains fractions",
    (s) => (s.DaemonStatus.properties.pid.type = "number"),
    'getDaemon answer.pid was "integer" and is "number"',
  ],
  [
    "a field of an answer becomes optional",
    (s) => s.DaemonStatus.required.shift(),
    "getDaemon answer.id is now optional",
  ],
  ["an answer loses a value", (s) => s.State.enum.shift(), 'getDaemon answer.state lost "stopped"'],
  ["an answer loses its set of values", (s) => delete s.State.enum, "getDaemon answer.state has any value now"],
  [
    "an answer loses a bound",
    (s) => delete s.DaemonStatus.properties.pid.minimum,
    "getDaemon answer.pid: minimum was 0 and is nothing",
  ],
  [
    "a field of a list's items changes its type",
    (s) => (s.HostStatus.properties.url.type = "integer"),
    'getDaemon answer.hosts[].url was "string" and is "integer"',
  ],
  [
    "the items of a list change their type",
    (s) => (s.DaemonStatus.properties.warnings.items.type = "integer"),
    'getDaemon answer.warnings[] was "string" and is "integer"',
  ],
  [
    "a list loses the schema of its items",
    (s) => delete s.DaemonStatus.properties.warnings.items,
    "getDaemon answer.warnings has other items",
  ],
  [
    "a field gains a keyword that the check does not know",
    (s) => (s.DaemonStatus.properties.id.pattern = "x"),
    'getDaemon answer.id: pattern was nothing and is "x"',
  ],
  [
    "a field of an error is gone",
    (s) => delete s.ApiError.properties.code,
    "getDaemon default.code is gone and was not deprecated",
  ],
  [
    "an answer becomes bytes",
    (_s, p) => (p["/v1/health"].get.responses["200"].content = { "application/octet-stream": {} }),
    "getHealth answer is no longer application/json",
  ],
  [
    "an answer loses its schema",
    (_s, p) => delete p["/v1/health"].get.responses["200"].content["application/json"].schema,
    "getHealth answer has another schema",
  ],
  ["an endpoint is gone", (_s, p) => delete p["/v1/health"], "GET /v1/health is gone"],
  [
    "an endpoint gets another name",
    (_s, p) => (p["/v1/health"].get.operationId = "health"),
    "getHealth is now named health",
  ],
  [
    "a request gains a required field",
    (s) => {
      s.ScaleRequest.properties.wait = { type: "boolean" };
      s.ScaleRequest.required.push("wait");
    },
    "scale body.wait is now required",
  ],
  [
    "a field of a request becomes required",
    (_s, p) => (log(p)[1].required = true),
    "readLog query.lines is now required",
  ],
  [
    "a field of a request is gone",
    (_s, p) => log(p).splice(1, 1),
    "readLog query.lines is gone and was not deprecated",
  ],
  [
    "a field of a request changes its type",
    (s) => (s.ScaleRequest.properties.instances.type = "string"),
    'scale body.instances was "integer" and is "string"',
  ],
  ["a field of a request loses a value", (_s, p) => log(p)[3].schema.enum.pop(), 'readLog query.follow lost "1"'],
  [
    "a field of a request gains a set of values",
    (s) => (s.ConfFileDraft.properties.text.enum = ["x"]),
    "writeFile body.text has only some values now",
  ],
  [
    "a field of a request gains a narrower bound",
    (_s, p) => (log(p)[1].schema.maximum = 10),
    "readLog query.lines: maximum was 10000000 and is 10",
  ],
  [
    "a request without a body needs one",
    (_s, p) => (p["/v1/rescan"].post.requestBody = { content: {} }),
    "rescan body is now required",
  ],
  [
    "a request no longer takes a body",
    (_s, p) => delete p["/v1/daemons/{address}/kill"].post.requestBody,
    "kill body is no longer application/json",
  ],
  [
    "a field is deprecated since a release that lacks the mark",
    (s) => (s.Health.properties.version["x-deprecated-since"] = "0.1.0"),
    "getHealth answer.version was not deprecated in 0.1.0 yet",
  ],
];

test.each(BREAKS)("the promise is broken when %s", (_title, change, problem) => {
  expect(problemsOf(change)).toContain(problem);
});

const KEEPS: [string, Change[1]][] = [
  ["nothing changes", () => undefined],
  [
    "an answer gains a field",
    (s) => {
      s.Health.properties.load = { type: "number" };
      s.Health.required.push("load");
    },
  ],
  ["a set of values of an answer grows", (s) => s.State.enum.push("hibernating")],
  ["a field of an answer is never null any more", (s) => (s.Usage.properties.memory.type = "number")],
  ["a field of an answer gains a set of values", (s) => (s.Health.properties.version.enum = ["0.1.0"])],
  ["a field of an error is always there", (s) => s.ApiError.required.push("details")],
  ["a description changes", (s) => (s.Health.description = "Another.")],
  ["a request gains an optional field", (s) => (s.ScaleRequest.properties.wait = { type: "boolean" })],
  [
    "a query gains an optional field",
    (_s, p) => log(p).push({ name: "until", in: "query", required: false, schema: { type: "integer" } }),
  ],
  ["a field of a request becomes optional", (s) => (s.ScaleRequest.required = [])],
  ["a field of a request accepts null", (s) => (s.ScaleRequest.properties.instances.type = ["integer", "null"])],
  ["a set of values of a request grows", (_s, p) => log(p)[3].schema.enum.push("2")],
  ["a bound of a request widens", (_s, p) => (log(p)[1].schema.maximum = 1e9)],
  ["an endpoint is added", (_s, p) => (p["/v1/events"] = p["/v1/health"])],
  ["a field is deprecated in the next release", (s) => (s.Health.properties.version["x-deprecated-since"] = "0.2.0")],
];

test.each(KEEPS)("the promise is kept when %s", (_title, change) => {
  expect(problemsOf(change)).toEqual([]);
});

test("a request that took other fields may not refuse them", () => {
  const open = copy();
  delete open.components.schemas.ScaleRequest.additionalProperties;
  expect(incompatibilities(open as Document, copy() as Document, [])).toEqual([
    "scale body no longer takes other fields",
  ]);
});

/** A document of a made-up endpoint, as version `version` has it. */
const madeUp = (
  version: string,
  answer: Endpoint["answer"],
  query: Endpoint["query"] = request("Nothing.", {}),
): Document => {
  const endpoint = { ...ENDPOINTS.getHealth, answer, query };
  const document = JSON.parse(JSON.stringify(openapi({ getHealth: endpoint }))) as Document;
  return { ...document, info: { version } };
};

const kept = { load: text("Load.") };
const marked = madeUp("0.3.0", record("Made up.", { ...kept, old: deprecated(nullable(text("Old.")), "0.2.0") }));
const gone = madeUp("0.4.0", record("Made up.", kept));

test("a field may go when two releases have announced it as deprecated", () => {
  expect(incompatibilities(marked, gone, ["0.3.0", "0.2.0", "0.1.0"])).toEqual([]);
  expect(incompatibilities(marked, gone, ["0.10.0", "0.2.0"])).toEqual([]);
});

test("a field may not go when fewer than two releases have announced it as deprecated", () => {
  const gap = (times: number) => [`getHealth answer.old is gone and was deprecated in ${times} of 2 releases`];
  expect(incompatibilities(marked, gone, ["0.2.0", "0.1.0"])).toEqual(gap(1));
  expect(incompatibilities(marked, gone, ["0.1.0"])).toEqual(gap(0));
});

test("a field of a query may go when two releases have announced it as deprecated", () => {
  const query = request("Made up.", { old: deprecated(optional(text("Old.")), "0.2.0") });
  const before = madeUp("0.3.0", record("Made up.", kept), query);
  expect(incompatibilities(before, gone, ["0.2.0"])).toEqual([
    "getHealth query.old is gone and was deprecated in 1 of 2 releases",
  ]);
  expect(incompatibilities(before, gone, ["0.3.0", "0.2.0"])).toEqual([]);
});

test("a field that is added cannot be deprecated since an earlier release", () => {
  const added = madeUp("0.4.0", record("Made up.", { ...kept, old: deprecated(text("Old."), "0.2.0") }));
  expect(incompatibilities(gone, added, [])).toEqual(["getHealth answer.old was not deprecated in 0.2.0 yet"]);
});

test("the release that deprecated a field cannot be moved back", () => {
  const moved = madeUp("0.3.0", record("Made up.", { ...kept, old: deprecated(nullable(text("Old.")), "0.1.0") }));
  expect(incompatibilities(marked, moved, [])).toEqual(["getHealth answer.old was not deprecated in 0.1.0 yet"]);
  expect(incompatibilities(moved, marked, [])).toEqual([]);
});
