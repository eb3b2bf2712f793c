/** A registry of images on the loopback, with as much of the distribution's API as a pull takes. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";

export class ImageRegistry {
  readonly #server: Server;
  readonly #blobs = new Map<string, Buffer>();
  /** By tag and by digest. */
  readonly #manifests = new Map<string, Buffer>();

  private constructor() {
    this.#server = createServer(({ url = "", method }, response) => {
      const [, kind, reference = ""] = /^\/v2\/[^/]+\/(blobs|manifests)\/(.+)$/.exec(url) ?? [];
      const found = kind === "blobs" ? this.#blobs.get(reference) : this.#manifests.get(reference);
      if (url === "/v2/") response.end("{}");
      else if (found === undefined) {
        response.writeHead(404, { "Content-Type": "application/json" });
        response.end(JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }));
      } else {
        const type = kind === "blobs" ? "application/octet-stream" : MANIFEST;
        const headers = { "Content-Type": type, "Content-Length": found.length };
        response.writeHead(200, { ...headers, "Docker-Content-Digest": digestOf(found) });
        response.end(method === "HEAD" ? undefined : found);
      }
    });
  }

  static async start(): Promise<ImageRegistry> {
    const registry = new ImageRegistry();
    registry.#server.listen(0, "127.0.0.1");
    await once(registry.#server, "listening");
    return registry;
  }

  /** Its name in those of images. */
  get name(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Publishes an image of one layer; returns its digest. */
  push(tag: string, layer: Buffer): string {
    const packed = gzipSync(layer);
    const config = Buffer.from(
      JSON.stringify({
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
        os: "linux",
        config: { Cmd: ["serve"] },
        rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
      }),
    );
    for (const blob of [packed, config]) this.#blobs.set(digestOf(blob), blob);
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: {
          mediaType: "application/vnd.docker.container.image.v1+json",
          size: config.length,
          digest: digestOf(config),
        },
        layers: [
          {
            mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
            size: packed.length,
            digest: digestOf(packed),
          },
        ],
      }),
    );
    for (const reference of [tag, digestOf(manifest)]) this.#manifests.set(reference, manifest);
    return digestOf(manifest);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
