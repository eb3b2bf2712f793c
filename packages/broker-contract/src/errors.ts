/** Why a request was not carried out. */
export const BROKER_ERRORS = [
  /** The engine failed, is not reachable, or cannot run containers of tenants. */
  "engine",
  /** The policy or the conf file does not permit it. */
  "refused",
  /** The name of the image means another one than at its first use. */
  "moved",
  /** There is no such image on this machine, or no such container. */
  "absent",
  /** The image could not be fetched. */
  "pull",
  /** The container is not the broker's. */
  "foreign",
  /** Too many requests or pulls are in hand. */
  "busy",
  /** The request has another form than the contract's. */
  "invalid",
] as const;
export type BrokerErrorCode = (typeof BROKER_ERRORS)[number];
