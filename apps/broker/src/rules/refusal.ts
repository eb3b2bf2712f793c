/** Why the broker does not carry out a request: a code of its contract, and the reason in words. */
export class ContainerRefusal extends Error {
  readonly code: "engine" | "refused" | "moved" | "absent" | "pull" | "foreign" | "busy" | "invalid";

  constructor(code: ContainerRefusal["code"], reason: string) {
    super(reason);
    this.code = code;
  }
}
