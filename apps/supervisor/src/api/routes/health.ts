/** The supervisor itself, and the whole state. */
import { exportState } from "../state-export.ts";
import type { ExplanationSurroundings } from "../surroundings.ts";
import type { Handlers } from "./handlers.ts";

export const healthRoutes = (about: ExplanationSurroundings): Handlers<"getHealth" | "exportState"> => ({
  getHealth: () => about.health(),
  exportState: ({ engine }) => exportState(engine, about),
});
