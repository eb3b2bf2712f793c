/** The text of conf files. */
import { readConfFile, writeConfFile } from "../conf-file.ts";
import type { Handlers } from "./handlers.ts";

export const fileRoutes: Handlers<"readFile" | "writeFile"> = {
  readFile: ({ about, subject }) => readConfFile(about, subject),
  writeFile({ engine, about, subject, body }) {
    const written = writeConfFile(about, subject, body);
    engine.rescan([subject.owner.name]);
    return written;
  },
};
