/** The schemas of the contract, which its types come from. An unknown field is refused in requests and ignored in answers. */
import Type, { type Static } from "typebox";
import { BROKER_ERRORS } from "./errors.ts";

const closed = { additionalProperties: false } as const;
const id = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "Chosen by the supervisor; the answer has it.",
});
/** As core/definition.ts and core/roster.ts have names of owners and daemons. */
const NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";
const owner = Type.String({ pattern: NAME, description: "Owner of the daemon." });
const name = Type.String({ pattern: NAME, description: "Name of the daemon." });
const container = Type.String({ pattern: "^[0-9a-f]{64}$", description: "The engine's id of the container." });
const image = Type.String({ minLength: 1, maxLength: 400, description: "Name of an image as in a conf file." });
const number = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
/** Code with which a container ended. */
const exitCode = Type.Integer({ minimum: 0, maximum: 255 });
const oomKilled = Type.Boolean({ description: "Whether a process of it was killed because of its memory limit." });

/** Agrees on the version, and tells whether the engine can run containers of tenants. */
export const HelloRequest = Type.Object(
  { id, verb: Type.Literal("hello"), version: Type.Integer({ minimum: 0, maximum: 65_535 }) },
  closed,
);
export type HelloRequest = Static<typeof HelloRequest>;

/** Fetches the image of a daemon's conf file where it is absent. Before the answer come progress reports. */
export const PullRequest = Type.Object({ id, verb: Type.Literal("pull"), owner, name }, closed);
export type PullRequest = Static<typeof PullRequest>;

/** Creates and starts a container for a run of an instance. Policy, conf file and image decide everything else. */
export const MakeRequest = Type.Object(
  {
    id,
    verb: Type.Literal("make"),
    owner,
    name,
    instance: number,
    run: number,
    guest: Type.String({
      pattern: "^[a-z0-9]{1,32}$",
      description: "Directory below `--guests` with the socket `shim.sock`; it is bound to /run/dmhost.",
    }),
    token: Type.String({
      pattern: "^[A-Za-z0-9_-]{16,128}$",
      description: "What the shim in the container sends to prove that it is the one.",
    }),
    cgroup: Type.Optional(
      Type.String({
        pattern: "^/[A-Za-z0-9_.\\\\/-]+$",
        maxLength: 1024,
        description: "Parent of its cgroup under the driver cgroupfs; it ends in /OWNER/NAME.d/INSTANCE-RUN.",
      }),
    ),
  },
  closed,
);
export type MakeRequest = Static<typeof MakeRequest>;

/** Kills a container and removes it. Nothing happens where it is gone. */
export const RemoveRequest = Type.Object({ id, verb: Type.Literal("remove"), container }, closed);
export type RemoveRequest = Static<typeof RemoveRequest>;

/** Lists the broker's containers, without those whose `make` is not answered. */
export const ListRequest = Type.Object({ id, verb: Type.Literal("list") }, closed);
export type ListRequest = Static<typeof ListRequest>;

/** Lists the images that were used, or that conf files name. */
export const ImagesRequest = Type.Object({ id, verb: Type.Literal("images") }, closed);
export type ImagesRequest = Static<typeof ImagesRequest>;

/** Records what the name of an image means now. */
export const AcceptRequest = Type.Object({ id, verb: Type.Literal("accept"), image }, closed);
export type AcceptRequest = Static<typeof AcceptRequest>;

/** A request, by its verb. */
export const BROKER_REQUESTS = {
  hello: HelloRequest,
  pull: PullRequest,
  make: MakeRequest,
  remove: RemoveRequest,
  list: ListRequest,
  images: ImagesRequest,
  accept: AcceptRequest,
} as const;
export type BrokerRequests = { readonly [V in BrokerVerb]: Static<(typeof BROKER_REQUESTS)[V]> };
export type BrokerVerb = keyof typeof BROKER_REQUESTS;
export type BrokerRequest = BrokerRequests[BrokerVerb];

export const HelloResult = Type.Object({
  engine: Type.String({ description: "Its name and version." }),
  cgroupDriver: Type.Union([Type.Literal("cgroupfs"), Type.Literal("systemd")]),
  cgroupVersion: Type.Union([Type.Literal(1), Type.Literal(2)]),
});
export type HelloResult = Static<typeof HelloResult>;

/** Nothing but that it is done. */
export const DoneResult = Type.Object({});
export type DoneResult = Static<typeof DoneResult>;

/** A container that runs: its shim connects to the socket of `guest`. */
export const MakeResult = Type.Object({
  container,
  command: Type.Array(Type.String(), {
    description: "The image's command: its entrypoint and its arguments; may be empty.",
  }),
  environment: Type.Array(Type.String(), {
    description: "The image's variables, `NAME=value`, without LD_* and without names that are none of a variable.",
  }),
  directory: Type.String({ description: 'The image\'s working directory, else "/".' }),
  home: Type.Object(
    {
      path: Type.String(),
      device: Type.String({ description: "st_dev as a decimal number." }),
      inode: Type.String({ description: "st_ino as a decimal number." }),
    },
    { description: "The home of the run-as account before the start, which the container must see at this path." },
  ),
});
export type MakeResult = Static<typeof MakeResult>;

/** One of the broker's containers. */
export const BrokerContainer = Type.Object({
  container,
  owner,
  name,
  instance: number,
  run: number,
  running: Type.Boolean(),
  exitCode: Type.Union([exitCode, Type.Null()], { description: "null where it has not ended." }),
  oomKilled,
});
export type BrokerContainer = Static<typeof BrokerContainer>;

export const ListResult = Type.Object({ containers: Type.Array(BrokerContainer) });
export type ListResult = Static<typeof ListResult>;

/** An image that was used, or that a conf file names. */
export const BrokerImage = Type.Object({
  image: Type.String({ description: "Its complete name." }),
  recorded: Type.Optional(Type.String({ description: "Digest, or Id where there is none, at the first use." })),
  present: Type.Optional(Type.String({ description: "The same of the image that this machine has now." })),
  moved: Type.Boolean({ description: "Whether these differ." }),
  usedBy: Type.Array(Type.String(), { description: "`owner/name` of the daemons whose conf file names it." }),
});
export type BrokerImage = Static<typeof BrokerImage>;

export const ImagesResult = Type.Object({ images: Type.Array(BrokerImage) });
export type ImagesResult = Static<typeof ImagesResult>;

/** The result of a request, by its verb. */
export const BROKER_RESULTS = {
  hello: HelloResult,
  pull: DoneResult,
  make: MakeResult,
  remove: DoneResult,
  list: ListResult,
  images: ImagesResult,
  accept: DoneResult,
} as const;
export type BrokerResults = { readonly [V in BrokerVerb]: Static<(typeof BROKER_RESULTS)[V]> };

/** The answer to a request that was carried out; `BROKER_RESULTS` has the schema of its result. */
export const BrokerSuccess = Type.Object({ id, result: Type.Unknown() });
export type BrokerSuccess = Static<typeof BrokerSuccess>;

/** The answer to a request that was not carried out. */
export const BrokerFailure = Type.Object({
  id,
  error: Type.Object({
    code: Type.Union(BROKER_ERRORS.map((code) => Type.Literal(code))),
    reason: Type.String({ description: "What failed, on what, why, and what to do." }),
  }),
});
export type BrokerFailure = Static<typeof BrokerFailure>;

/** How far a pull is; not an answer yet. */
export const BrokerProgress = Type.Object({
  id,
  progress: Type.Object({ percent: Type.Integer({ minimum: 0, maximum: 100 }) }),
});
export type BrokerProgress = Static<typeof BrokerProgress>;

/** What happened without a request. `removed` follows no `ended` where the container was removed while it ran. */
export const BrokerEvent = Type.Object({
  event: Type.Union([
    Type.Object({ kind: Type.Literal("ended"), container, exitCode, oomKilled }),
    Type.Object({ kind: Type.Literal("removed"), container }),
    Type.Object({ kind: Type.Literal("engine"), reachable: Type.Boolean() }),
  ]),
});
export type BrokerEvent = Static<typeof BrokerEvent>;

/** A line of the broker. */
export const BrokerMessage = Type.Union([BrokerSuccess, BrokerFailure, BrokerProgress, BrokerEvent]);
export type BrokerMessage = Static<typeof BrokerMessage>;
