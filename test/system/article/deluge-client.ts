/**
 * Program: requests the version of the deluged at 127.0.0.1 in deluged's protocol and prints it. Exits with 1 and prints the
 * reason when deluged does not answer.
 */
import { once } from "node:events";
import { connect } from "node:tls";
import { deflateSync, inflateSync } from "node:zlib";

const PORT = 58846;

/** `daemon.info` without arguments, as request 1, in rencode: lists are 192 + length, strings 128 + length. */
const QUESTION = Buffer.concat([
  Buffer.from([193, 196, 1, 128 + "daemon.info".length]),
  Buffer.from("daemon.info"),
  Buffer.from([192, 102]),
]);
/** First bytes of a response to request 1; a short string follows. */
const ANSWER = Buffer.from([195, 1, 1]);
/** Protocol version 1 and the length of what follows. */
const HEADER = 5;

const connection = connect({ host: "127.0.0.1", port: PORT, rejectUnauthorized: false });
try {
  await once(connection, "secureConnect");
  const body = deflateSync(QUESTION);
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(1, 0);
  header.writeUInt32BE(body.length, 1);
  connection.write(Buffer.concat([header, body]));
  const [received] = (await once(connection, "data")) as [Buffer];
  const answer = inflateSync(received.subarray(HEADER));
  if (!answer.subarray(0, 3).equals(ANSWER)) throw new Error(`not a response of deluged: ${answer.toString("hex")}`);
  process.stdout.write(answer.subarray(4).toString());
} catch (error) {
  process.stderr.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  connection.destroy();
}
