/** Names of container images, as in `image=` and in [images]. Their form is that of the OCI distribution (distribution/reference). */

/** A complete name: a registry is added where there is none, and the tag `latest` where there is neither tag nor digest. */
export interface ImageName {
  /** With its registry: `docker.io/library/php`. */
  readonly repository: string;
  /** `:TAG` or `@sha256:DIGEST`. */
  readonly version: string;
}

/** A grant of [images]. */
export interface ImagePattern {
  readonly repository: string;
  /** undefined: every tag and digest. */
  readonly version: string | undefined;
  /** `registry/path/*`: all repositories below, at any depth, in every version. */
  readonly below: boolean;
}

/** Written among the images of [images]: it grants the network. */
export const OUTBOUND = "network=outbound";

/** Characters of a repository at most (distribution/reference: NameTotalLengthMax). */
const LONGEST_REPOSITORY = 255;
const REGISTRY = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?::\d{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const DEFAULT_REGISTRY = "docker.io";

const isRegistry = (first: string): boolean => /[.:]/.test(first) || first === "localhost";

/** The complete repository; undefined where the text names none. `below`: the text is only the beginning of one. */
const repositoryOf = (text: string, below: boolean): string | undefined => {
  const parts = text.split("/");
  const [first = "", ...rest] = parts;
  const hasRegistry = isRegistry(first) && (rest.length > 0 || below);
  const path = hasRegistry ? rest : parts;
  const official = !hasRegistry && path.length === 1 && !below ? ["library"] : [];
  const registry = hasRegistry ? first : DEFAULT_REGISTRY;
  const isSound = REGISTRY.test(registry) && path.every((part) => COMPONENT.test(part));
  const whole = [registry === "index.docker.io" ? DEFAULT_REGISTRY : registry, ...official, ...path].join("/");
  return isSound && whole.length <= LONGEST_REPOSITORY ? whole : undefined;
};

/** Parts a text at its tag or digest. A tag before a digest has no effect, as for engines. */
const parted = (text: string): readonly [repository: string, version: string | undefined] => {
  const [name = "", ...digest] = text.split("@");
  const colon = name.lastIndexOf(":");
  const hasTag = colon > name.lastIndexOf("/");
  const tag = hasTag ? name.slice(colon) : undefined;
  return [hasTag ? name.slice(0, colon) : name, digest.length > 0 ? `@${digest.join("@")}` : tag];
};

const isVersion = (version: string): boolean =>
  version.startsWith("@") ? DIGEST.test(version.slice(1)) : TAG.test(version.slice(1));

/** Parses the name of an image; undefined where it is none. */
export const imageName = (text: string): ImageName | undefined => {
  const [name, version = ":latest"] = parted(text);
  const repository = repositoryOf(name, false);
  return repository !== undefined && isVersion(version) ? { repository, version } : undefined;
};

/** Parses an entry of [images]: the name of an image, `NAME:*` for all of its versions, or `PATH/*` for all below it. */
export const imagePattern = (text: string): ImagePattern | undefined => {
  if (text.endsWith("/*")) {
    const repository = repositoryOf(text.slice(0, -2), true);
    return repository === undefined ? undefined : { repository, version: undefined, below: true };
  }
  if (text.endsWith(":*")) {
    const repository = repositoryOf(text.slice(0, -2), false);
    return repository === undefined ? undefined : { repository, version: undefined, below: false };
  }
  const name = imageName(text);
  return name && { ...name, below: false };
};

/** As an engine writes it. */
export const describeImage = ({ repository, version }: ImageName): string => `${repository}${version}`;

/** As written in the policy, with its registry. */
export const describeImagePattern = ({ repository, version, below }: ImagePattern): string =>
  below ? `${repository}/*` : `${repository}${version ?? ":*"}`;

/** Whether a pattern grants an image. */
export const coversImage = ({ repository, version, below }: ImagePattern, image: ImageName): boolean =>
  below
    ? image.repository.startsWith(`${repository}/`)
    : image.repository === repository && (version === undefined || image.version === version);
