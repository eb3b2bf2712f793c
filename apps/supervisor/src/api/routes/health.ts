/** The supervisor itself, and the whole state. */
import { exportState } from "../state-export.ts";
import type { Handlers } from "./handlers.ts";

export const healthRoutes: Handlers<"getHealth" | "exportState"> = {
  getHealth: ({ about }) => about.health(),
  exportState: ({ engine, about }) => exportState(engine, about),
};
