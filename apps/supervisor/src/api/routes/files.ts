/** The text of conf files. */
import { readConfFile, writeConfFile } from "../conf-file.ts";
import type { ConfFileAccess } from "../surroundings.ts";
import type { Handlers } from "./handlers.ts";

export const fileRoutes = (files: ConfFileAccess): Handlers<"readFile" | "writeFile"> => ({
  readFile: ({ subject }) => readConfFile(files, subject),
  writeFile({ engine, subject, body }) {
    const written = writeConfFile(files, subject, body);
    engine.rescan([subject.owner.name]);
    return written;
  },
});
