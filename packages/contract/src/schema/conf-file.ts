/** GET and PUT /v1/daemons/:address/file: the text of a conf file, for its owner and root. */
import type { Static } from "typebox";
import { flag, optional, record, request, text, texts } from "./shapes.ts";

export const ConfFile = record("A conf file.", {
  path: text("Its path."),
  text: text("Its text; a template for a new file when there is none."),
  fingerprint: text('Identifies the text of the file; "" when there is no file.'),
});
export type ConfFile = Static<typeof ConfFile>;

export const ConfFileDraft = request("A text to be written, unless it has errors or the file was changed meanwhile.", {
  path: optional(text("Ignored: the address says which file.")),
  text: text("The whole text."),
  fingerprint: text('Fingerprint that GET answered; "" to create a file.', { maxLength: 64 }),
});
export type ConfFileDraft = Static<typeof ConfFileDraft>;

export const ConfFileWritten = record("A conf file was written.", {
  path: text("Its path."),
  warnings: texts("What the supervisor ignores in it, each `path:line: text`."),
  created: flag("Whether there was no file before."),
});
export type ConfFileWritten = Static<typeof ConfFileWritten>;
